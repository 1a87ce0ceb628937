#include "parties.h"

#include <map>
#include <set>

namespace venue {

namespace {

constexpr size_t PARTIES_MAX = 10;
constexpr size_t PARTY_ID_BYTES_MAX = 50;

// ISO 17442: 18 characters and two check digits, 1 modulo 97 when letters count from 10 on.
bool is_lei(std::string_view text) {
    if (text.size() != 20)
        return false;
    unsigned rest = 0;
    for (size_t i = 0; i < text.size(); i++) {
        char c = text[i];
        bool digit = c >= '0' && c <= '9', letter = c >= 'A' && c <= 'Z' && i < 18;
        if (!digit && !letter)
            return false;
        rest = digit ? rest * 10 + static_cast<unsigned>(c - '0') : rest * 100 + static_cast<unsigned>(c - 'A' + 10);
        rest %= 97;
    }
    return rest == 1;
}

class Block { // while it is read; the first fault is the one that counts
  public:
    void take(std::string_view tag, std::string_view value) {
        if (tag == "448")
            party(value);
        else if (tag == "447")
            source(value);
        else if (tag == "452")
            role(value);
        else if (tag == "2376")
            qualifier(value);
        else if (tag == "2594") {
            m_attribute = value;
            expect(m_attributes.count(value) == 0,
                   "OrderAttributeType(2594) " + std::string(value) + " is there twice");
        } else if (tag == "2595") {
            expect(m_before == "2594", "OrderAttributeValue(2595) belongs behind OrderAttributeType(2594)");
            expect(value == "Y" || value == "N", "OrderAttributeValue(2595) must be Y or N");
            m_attributes[m_attribute] = value;
        }
        m_before = tag;
    }

    std::string end() {
        bool aggregated = has("0"), pending = has("1");
        expect(!(aggregated && pending), "OrderAttributeType(2594) 0 (aggregated) and 1 (pending) exclude each other");
        expect(!(m_roles.count("3") != 0 && (aggregated || pending)),
               "OrderAttributeType(2594) 0 or 1 stands for the client: leave PartyRole(452) 3 out");
        return m_fault;
    }

  private:
    void expect(bool good, const std::string &text) {
        if (!good && m_fault.empty())
            m_fault = text;
    }

    bool has(std::string_view attribute) const {
        auto found = m_attributes.find(attribute);
        return found != m_attributes.end() && found->second == "Y";
    }

    void party(std::string_view value) {
        m_party_id = value;
        expect(++m_count <= PARTIES_MAX, "NoPartyIDs(453) is at most 10");
        expect(value.size() <= PARTY_ID_BYTES_MAX, "PartyID(448) is longer than 50 characters");
    }

    void source(std::string_view value) {
        expect(m_before == "448", "PartyIDSource(447) belongs directly behind PartyID(448)");
        expect(value == "C" || value == "D" || value == "N" || value == "P",
               "PartyIDSource(447) must be C, D, N (LEI) or P");
        expect(value != "N" || is_lei(m_party_id), "PartyID(448) of PartyIDSource(447) N is no LEI: check it");
    }

    void role(std::string_view value) {
        m_role = value;
        expect(m_before == "448" || m_before == "447",
               "PartyRole(452) belongs behind PartyID(448) and PartyIDSource(447)");
        expect(m_roles.insert(value).second,
               "PartyRole(452) " + std::string(value) + " is there twice; one party has each role");
    }

    void qualifier(std::string_view value) {
        expect(m_before == "452", "PartyRoleQualifier(2376) belongs directly behind PartyRole(452)");
        bool trader = m_role == "12" || m_role == "122", client = m_role == "3";
        expect((trader && (value == "22" || value == "24")) || (client && (value == "23" || value == "24")),
               "PartyRoleQualifier(2376) is 22 or 24 with PartyRole(452) 12 and 122, 23 or 24 with 3, and none with "
               "others");
    }

    std::string m_fault;
    std::set<std::string_view> m_roles;
    std::map<std::string_view, std::string_view> m_attributes;
    size_t m_count = 0;
    std::string_view m_before, m_party_id, m_role, m_attribute;
};

} // namespace

std::string party_fault(std::string_view body) {
    if (body.find("\001453=") == std::string_view::npos && body.find("\0012593=") == std::string_view::npos)
        return "";
    Block block;
    while (!body.empty()) {
        size_t stop = body.find('\001');
        std::string_view field = body.substr(0, stop);
        size_t equal = field.find('=');
        if (equal != std::string_view::npos)
            block.take(field.substr(0, equal), field.substr(equal + 1));
        body = stop == std::string_view::npos ? std::string_view() : body.substr(stop + 1);
    }
    return block.end();
}

} // namespace venue
