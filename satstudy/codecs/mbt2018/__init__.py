"""The paper's codec: CompressAI's `mbt2018` behind the interface that all learned codecs share."""
