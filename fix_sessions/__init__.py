"""FIX sessions: brokers' messages into the venue, its reports back to them.

QuickFIX keeps the sessions; a native application inside pip's unmodified library serves orders, cancels and replaces
without Python; a Python application serves everything else and, on request, those too (`VENUE_FIX=python`). Nothing in
here decides about an order: it translates, refuses what cannot be translated, and reports what the engine says.
"""
