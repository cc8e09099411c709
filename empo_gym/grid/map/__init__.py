"""From a world's file to a static map: tiles, conventions, the parser, where files lie, random maps."""
