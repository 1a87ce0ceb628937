// Reports: what the engine says about an order, as ExecutionReport (8) and OrderCancelReject (9).
//
// Written straight into bytes, in ascending order of tag: the order in which QuickFIX keeps and sends a message's fields, so
// that these are the bytes that QuickFIX would send. `codec.py` says the same in Python, whose messages do go through
// QuickFIX; one suite compares the bytes.
#ifndef FIX_VENUE_REPORTS_H
#define FIX_VENUE_REPORTS_H

#include "terms.h"

#include <string_view>

namespace venue {

// Replaces `body` with the message's fields and returns its MsgType; 0 when the event is none of 8 or 9 (the Python
// application answers those).
char write_report(const struct report &report, const Terms &terms, std::string *body);

// Whether a report answers a command of a quote: a MassQuoteAcknowledgement tells of those, no 8 or 9.
bool is_quiet(const struct report &report);

// Whether a report is about a child of an execution algorithm: Python tells of its parent.
inline bool is_of_child(const struct report &report) {
    return report.clordid[0] == QUOTE_MARK && report.clordid[1] == CHILD_MARK;
}

// Whether a report leaves as an 8 or 9, and so has a drop copy.
bool is_copied(const struct report &report);

// A whole message around a body.
struct Envelope {
    std::string_view type;
    uint64_t number; // MsgSeqNum(34)
    const std::string &sender, &target;
    bool poss_resend;
    std::string_view header = {}; // further fields of the header, `tag=value` each with its SOH
};
void write_message(const Envelope &envelope, const std::string &body, std::string *message);

} // namespace venue

#endif
