// The party block: who stands behind an order, PartyIDs, their roles and the order's attributes, as RTS 24 records them.
//
// It is kept in the annex as received and read from there by the archive, so what could not be read there is refused here,
// in words. Only orders that carry one come here: never the hot lane's. `parties.py` says the same in Python.
#ifndef FIX_VENUE_PARTIES_H
#define FIX_VENUE_PARTIES_H

#include <string>
#include <string_view>

namespace venue {

// What is wrong with the party block of an order's body; empty when nothing is, or there is none.
std::string party_fault(std::string_view body);

} // namespace venue

#endif
