// The hot lane: the ordinary D, F or G of a session in good order, read straight from its frame.
//
// QuickFIX needs some three microseconds to turn such a message into a tree of fields, check them against the dictionary
// and hand them over, and then has nothing to say about it. Here the same checks are made on the bytes, by tables that are
// made from the same dictionary: no FIX::Message, no allocation, no exception. Whatever is not plainly acceptable is left
// to QuickFIX, which finds the words. Must never take a message that QuickFIX would refuse, answer or keep.
#ifndef FIX_VENUE_HOT_LANE_H
#define FIX_VENUE_HOT_LANE_H

#include "DataDictionary.h"

#include "frame.h"

#include <array>
#include <bitset>
#include <string_view>
#include <vector>

namespace venue {

constexpr unsigned HOT_TAG_MAX = 1023;
constexpr unsigned HOT_FIELDS_MAX = 64;

struct HotRule { // what a field's value must be
    enum Kind : uint8_t {
        Text, // printable ASCII
        Character, // one of `values`
        Decimal, // digits, and a point with digits behind it or none
        Time, // YYYYMMDD-HH:MM:SS and no, 3, 6 or 9 decimals
    };
    Kind kind = Text;
    std::bitset<256> values;
};

struct HotType { // a message type
    std::array<uint8_t, HOT_TAG_MAX + 1> places{}; // by tag: 1 + index of the rule; 0: not taken here
    std::vector<HotRule> rules;
    uint64_t required = 0; // bits of rules whose fields must be there
    bool taken = false; // false: some required field has no rule
};

class HotOrder { // the fields of one message; views into its frame
  public:
    std::string_view field(int tag) const { // its data() is null when the field is not there
        unsigned place = static_cast<unsigned>(tag) <= HOT_TAG_MAX ? m_type->places[static_cast<unsigned>(tag)] : 0;
        return place != 0 && (m_there >> (place - 1) & 1) != 0 ? m_values[place - 1] : std::string_view();
    }

  private:
    friend class HotLane;
    const HotType *m_type = nullptr;
    uint64_t m_there = 0;
    std::array<std::string_view, HOT_FIELDS_MAX> m_values;
};

class HotLane {
  public:
    explicit HotLane(const FIX::DataDictionary &dictionary);

    // False: this is for QuickFIX. The header's numbers and names are the gateway's to compare.
    bool read(const Frame &frame, HotOrder *order) const;

    // The value of SendingTime(52) is a time of the UTC day `day_text` (YYYYMMDD-), `second` of that day at most
    // TIME_SECONDS_MAX away from it.
    static bool is_near(std::string_view time, std::string_view day_text, int64_t second);

  private:
    HotType m_types[3]; // D, F, G
};

} // namespace venue

#endif
