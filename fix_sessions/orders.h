// Requests: NewOrderSingle (D), OrderCancelRequest (F) and OrderCancelReplaceRequest (G) as records of the core.
//
// What a message asks for that this venue cannot do becomes a `precheck` reason in the record: the request is journaled
// and refused by the core like any other, so that it has an OrderID and is in the archive. `codec.py` says the same in
// Python; one suite compares them.
#ifndef FIX_VENUE_ORDERS_CODEC_H
#define FIX_VENUE_ORDERS_CODEC_H

#include "Message.h"
#include "terms.h"

namespace venue {

// Fills kind, terms, names and owner; `body` stays the caller's business. Throws FIX::IncorrectTagValue for a ClOrdID
// that is longer than a record can hold: without it the request cannot even be refused by name.
void read_new(const FIX::Message &message, const Member &member, const Terms &terms, struct submission *submission);
void read_cancel(const FIX::Message &message, const Member &member, const Terms &terms, const struct engine_api *engine,
                 struct submission *submission);
void read_replace(const FIX::Message &message, const Member &member, const Terms &terms,
                  const struct engine_api *engine, struct submission *submission);

} // namespace venue

#endif
