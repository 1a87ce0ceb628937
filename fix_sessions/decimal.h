// Exact decimals: text of a FIX price or quantity to a whole number of ticks or lots, and back. No float is involved, so
// what a member wrote is what is journaled, or it is refused. Must never round a request.
#ifndef FIX_VENUE_DECIMAL_H
#define FIX_VENUE_DECIMAL_H

#include <cstdint>
#include <string>
#include <string_view>

namespace venue {

enum class Parsed {
    Good,
    Malformed, // no decimal number at all
    Negative,
    Inexact, // not a whole number of units
    Overflow,
};

// `unit` x 10^-scale is the size of one count. `*count` is written only when Good.
Parsed parse_count(std::string_view text, unsigned scale, uint64_t unit, uint64_t count_max, uint64_t *count);

// count x unit x 10^-scale with exactly `scale` decimals, appended to `out`.
void print_count(std::string &out, uint64_t count, uint64_t unit, unsigned scale);

// value / count in units of `unit` x 10^-scale: four more decimals, rounded half up, without needless zeros.
void print_average(std::string &out, uint64_t value, uint64_t count, uint64_t unit, unsigned scale);

void print_number(std::string &out, uint64_t number);

// YYYYMMDD-HH:MM:SS with at most nine decimals, or YYYYMMDD, in UTC; years 1970 to 2261, no leap second. The second is the
// end of that day. False when the text is neither; `*time_ns` is written only when true.
bool parse_time(std::string_view text, uint64_t *time_ns);
bool parse_day_end(std::string_view text, uint64_t *time_ns);

// YYYYMMDD-HH:MM:SS. and 6 or 9 decimals, in UTC.
void print_time(std::string &out, uint64_t time_ns, unsigned decimals);

} // namespace venue

#endif
