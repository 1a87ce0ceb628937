// Reports: what the engine says about an order, as ExecutionReport (8) and OrderCancelReject (9).
//
// Fields are written in ascending order of tag, the order in which QuickFIX keeps and sends them, so that nothing is
// moved. `codec.py` says the same in Python; one suite compares the bytes.
#ifndef FIX_VENUE_REPORTS_H
#define FIX_VENUE_REPORTS_H

#include "Message.h"
#include "terms.h"

namespace venue {

// Replaces what is in `message`; false when the event is none of 8 or 9 (the Python application answers those).
bool write_report(const struct report &report, const Terms &terms, FIX::Message *message);

} // namespace venue

#endif
