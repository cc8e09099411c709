"""Between a state's numbers and what people read: decoding, descriptions and their inverse."""
