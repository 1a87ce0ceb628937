// Requests: NewOrderSingle (D), OrderCancelRequest (F) and OrderCancelReplaceRequest (G) as records of the core.
//
// What a message asks for that this venue cannot do becomes a `precheck` reason in the record: the request is journaled
// and refused by the core like any other, so that it has an OrderID and is in the archive. `codec.py` says the same in
// Python; one suite compares them.
#ifndef FIX_VENUE_ORDERS_CODEC_H
#define FIX_VENUE_ORDERS_CODEC_H

#include "Message.h"
#include "terms.h"

#include <string_view>

namespace venue {

// A message's fields as QuickFIX has parsed them; `HotOrder` (hot_lane.h) gives the same from the bytes themselves.
class MessageFields {
  public:
    explicit MessageFields(const FIX::Message &message) : m_message(message) {
    }
    std::string_view field(int tag) const { // its data() is null when the field is not there
        return m_message.isSetField(tag) ? std::string_view(m_message.getFieldRef(tag).getString())
                                         : std::string_view();
    }

  private:
    const FIX::Message &m_message;
};

// Fills kind, terms, names and owner from a D, F or G; `body` stays the caller's business. Throws
// FIX::IncorrectTagValue for a ClOrdID that is longer than a record can hold: without it the request cannot even be
// refused by name.
template <class Fields>
void read_order(char type, const Fields &fields, const Member &member, const Terms &terms,
                const struct engine_api *engine, struct submission *submission);

// One side of a quote as a limit order of the day.
struct QuoteSide {
    std::string_view account, instructions, symbol, side, price, size; // 1, 18, 55, 54, 44, 38
    std::string_view field(int tag) const;
};
void read_quote_side(const QuoteSide &fields, const Member &member, const Terms &terms, struct submission *submission);

} // namespace venue

#endif
