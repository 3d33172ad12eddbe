"""What learned codecs share below their networks: exact integers, range coding, the file format, cutting, blending."""
