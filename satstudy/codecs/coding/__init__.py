"""What all learned codecs share: exact integers, range coding, the file format, tiles and blending."""
