#include "decimal.h"

namespace venue {

namespace {

using u128 = unsigned __int128;

constexpr u128 DIGITS_MAX = (~u128{0}) / 10 - 1; // one more digit always fits below this

void print_wide(std::string &out, u128 number, unsigned decimals) {
    char digits[64];
    unsigned count = 0;
    for (uint64_t narrow; number >> 64 == 0 && number != 0; number = narrow) { // 64-bit division is much cheaper
        narrow = static_cast<uint64_t>(number) / 10;
        digits[count++] = static_cast<char>('0' + static_cast<int>(static_cast<uint64_t>(number) - narrow * 10));
    }
    while (number != 0 || count <= decimals) {
        digits[count++] = static_cast<char>('0' + static_cast<int>(number % 10));
        number /= 10;
    }
    char text[sizeof digits + 1];
    size_t used = 0;
    while (count > 0) {
        text[used++] = digits[--count];
        if (count == decimals && decimals != 0)
            text[used++] = '.';
    }
    out.append(text, used);
}

void write_padded(char *digits, uint64_t number, unsigned width) {
    for (unsigned i = width; i-- > 0; number /= 10)
        digits[i] = static_cast<char>('0' + number % 10);
}

void print_padded(std::string &out, uint64_t number, unsigned width) {
    char digits[20];
    write_padded(digits, number, width);
    out.append(digits, width);
}

// YYYYMMDD and a dash; days since 1970 counted in eras of 400 years whose years begin in March, so that leap days fall
// at the end.
void print_day(std::string &out, uint64_t days) {
    uint64_t shifted = days + 719468, era = shifted / 146097, day_of_era = shifted % 146097;
    uint64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    uint64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint64_t month_from_march = (5 * day_of_year + 2) / 153;
    uint64_t month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
    print_padded(out, year_of_era + era * 400 + (month <= 2 ? 1 : 0), 4);
    print_padded(out, month, 2);
    print_padded(out, day_of_year - (153 * month_from_march + 2) / 5 + 1, 2);
    out.push_back('-');
}

bool parse_digits(std::string_view text, size_t at, size_t count, uint64_t *number) {
    *number = 0;
    for (size_t i = at; i < at + count; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        *number = *number * 10 + static_cast<uint64_t>(text[i] - '0');
    }
    return true;
}

// YYYYMMDD at the start of a text that is long enough, as days since 1970.
bool parse_day(std::string_view text, uint64_t *days) {
    uint64_t year = 0, month = 0, day = 0;
    if (!parse_digits(text, 0, 4, &year) || !parse_digits(text, 4, 2, &month) || !parse_digits(text, 6, 2, &day))
        return false;
    if (year < 1970 || year > 2261 || month < 1 || month > 12 || day < 1)
        return false;
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    uint64_t length = month == 2 ? (leap ? 29 : 28) : month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
    if (day > length)
        return false;
    uint64_t march_year = month > 2 ? year : year - 1, march_month = (month + 9) % 12;
    uint64_t before = march_year * 365 + march_year / 4 - march_year / 100 + march_year / 400;
    *days = before + (153 * march_month + 2) / 5 + day - 1 - 719468;
    return true;
}

} // namespace

Parsed parse_count(std::string_view text, unsigned scale, uint64_t unit, uint64_t count_max, uint64_t *count) {
    size_t at = 0, digits = 0;
    bool negative = !text.empty() && text[0] == '-';
    at += negative ? 1 : 0;
    u128 number = 0;
    unsigned decimals = 0;
    bool point = false, lost = false, wide = false;
    for (; at < text.size(); at++) {
        char c = text[at];
        if (c == '.' && !point) {
            point = true;
            continue;
        }
        if (c < '0' || c > '9')
            return Parsed::Malformed;
        digits++;
        if (point && decimals == scale) { // more decimals than a unit has: only zeros keep it exact
            lost = lost || c != '0';
            continue;
        }
        if (number > DIGITS_MAX) {
            wide = true;
            continue;
        }
        number = number * 10 + static_cast<unsigned>(c - '0');
        decimals += point ? 1 : 0;
    }
    if (digits == 0)
        return Parsed::Malformed;
    if (negative && (number != 0 || lost || wide))
        return Parsed::Negative;
    for (; decimals < scale && !wide; decimals++) {
        wide = number > DIGITS_MAX;
        number = wide ? number : number * 10;
    }
    if (wide)
        return Parsed::Overflow;
    if (lost || number % unit != 0)
        return Parsed::Inexact;
    if (number / unit > count_max)
        return Parsed::Overflow;
    *count = static_cast<uint64_t>(number / unit);
    return Parsed::Good;
}

void print_count(std::string &out, uint64_t count, uint64_t unit, unsigned scale) {
    print_wide(out, static_cast<u128>(count) * unit, scale);
}

void print_average(std::string &out, uint64_t value, uint64_t count, uint64_t unit, unsigned scale) {
    if (count == 0) {
        out.push_back('0');
        return;
    }
    u128 number = static_cast<u128>(value) * unit * 10000;
    print_wide(out, (number + count / 2) / count, scale + 4);
    for (unsigned spare = 4; spare > 0 && out.back() == '0'; spare--)
        out.pop_back();
    if (out.back() == '.')
        out.pop_back();
}

void print_number(std::string &out, uint64_t number) {
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = static_cast<char>('0' + number % 10);
        number /= 10;
    } while (number != 0);
    out.append(digits + at, sizeof digits - at);
}

bool parse_day_end(std::string_view text, uint64_t *time_ns) {
    uint64_t days = 0;
    if (text.size() != 8 || !parse_day(text, &days))
        return false;
    *time_ns = (days + 1) * 86400 * 1000000000;
    return true;
}

bool parse_time(std::string_view text, uint64_t *time_ns) {
    uint64_t days = 0, hours = 0, minutes = 0, seconds = 0, part = 0;
    size_t decimals = text.size() > 18 ? text.size() - 18 : 0;
    if ((text.size() != 17 && (decimals == 0 || decimals > 9 || text[17] != '.')) || !parse_day(text, &days))
        return false;
    bool good = text[8] == '-' && text[11] == ':' && text[14] == ':' && parse_digits(text, 9, 2, &hours) &&
                parse_digits(text, 12, 2, &minutes) && parse_digits(text, 15, 2, &seconds) &&
                parse_digits(text, 18, decimals, &part);
    if (!good || hours > 23 || minutes > 59 || seconds > 59)
        return false;
    for (; decimals < 9; decimals++)
        part *= 10;
    *time_ns = (days * 86400 + hours * 3600 + minutes * 60 + seconds) * 1000000000 + part;
    return true;
}

void print_time(std::string &out, uint64_t time_ns, unsigned decimals) {
    static thread_local uint64_t day_printed = ~uint64_t{0};
    static thread_local std::string day_text;
    uint64_t seconds = time_ns / 1000000000, day = seconds / 86400, of_day = seconds % 86400,
             part = time_ns % 1000000000;
    if (day != day_printed) {
        day_text.clear();
        print_day(day_text, day);
        day_printed = day;
    }
    char text[] = "hh:mm:ss.nnnnnnnnn";
    write_padded(text, of_day / 3600, 2);
    write_padded(text + 3, of_day / 60 % 60, 2);
    write_padded(text + 6, of_day % 60, 2);
    write_padded(text + 9, decimals == 9 ? part : part / 1000, decimals);
    out += day_text;
    out.append(text, 9 + decimals);
}

} // namespace venue
