"""Boot and disk images: built from Debian packages, kept by content hash.

Owns the recipes and the artifact store's layout. Must never mount anything, nor leave a file behind
that is not whole.
"""
