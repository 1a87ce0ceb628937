// What the native application knows about the venue: instruments, sessions and the words of its rejects. All of it is
// given by Python once, before the first session, from the same tables that the Python application uses.
#ifndef FIX_VENUE_TERMS_H
#define FIX_VENUE_TERMS_H

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#define _Static_assert static_assert
extern "C" {
#include "engine.h"
}

namespace venue {

constexpr char QUOTE_MARK = '~'; // begins the ClOrdID of a quote's order: quote_names.py
constexpr char CHILD_MARK = 'A'; // behind it, of an execution algorithm's child: child_names.py
constexpr int ALGORITHM_TAGS[] = {168, 847, 848, 849}; // a D with one of them is for an execution algorithm

struct Instrument {
    std::string symbol;
    uint64_t tick_units = 1; // a tick is tick_units x 10^-price_scale
    unsigned price_scale = 0;
    uint64_t lot_units = 1;
    unsigned qty_scale = 0;
    std::array<std::string, 256> texts; // Text(58) by reason
};

struct ProtectionLimits { // of quotes in one instrument; 0: none
    uint64_t window_ns = 0, quantity_lots = 0, delta_lots = 0, trades = 0;
};

struct Terms {
    std::vector<Instrument> instruments;
    std::map<std::string, uint16_t, std::less<>> symbols;
    std::array<std::string, 256> texts; // for reports without a known instrument
    std::array<int, 256> order_codes{}; // OrdRejReason(103) by reason
    std::array<int, 256> cancel_codes{}; // CxlRejReason(102) by reason
    std::array<int, 256> quote_codes{}; // QuoteEntryRejectReason(368) by reason

    const std::string &text(uint16_t symbol, unsigned reason) const {
        return symbol < instruments.size() ? instruments[symbol].texts[reason] : texts[reason];
    }
};

struct Member { // one session's part of it
    uint16_t session = 0;
    std::string comp_id;
    std::vector<uint32_t> accounts; // the first is used when Account(1) is left out
    uint64_t smp_group = 0; // of all its accounts, 0: no self-match prevention
    std::vector<ProtectionLimits> protections; // by instrument
    std::array<std::string, 3> protection_texts; // the limits of quantity, delta and trades as they were agreed
    bool permits(uint32_t account) const {
        for (uint32_t own : accounts)
            if (own == account)
                return true;
        return false;
    }
};

} // namespace venue

#endif
