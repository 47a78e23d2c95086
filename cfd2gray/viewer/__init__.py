"""``cfd2gray view``: a page for the person at this machine, to look at clips, correct what was seen, and keep or reject.

Owns the local server, the clips that are open in it, and its page; never translates, reads or draws pages by itself.
"""
