"""What a network sees of a state: features, planes, a picture, one robot's view."""
