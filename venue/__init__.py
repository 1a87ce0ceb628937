"""The venue: one writer that journals and applies orders, and the followers of its journal.

`config` → `engine` (journal, orders, snapshot) → `follower` → `sealer` (archive) → `verify`, `export`, `receipt`.
The command line (`cli`, `processes`, `demo`) is the only part that composes this with the FIX sessions, the provers
and the settlement; nothing else in here may import them.
"""
