#include "frame.h"

#include <cstring>

namespace venue {

namespace {

constexpr char SOH = 1;
constexpr char BEGIN[] = "8=FIX.4.4\0019=";
constexpr size_t BEGIN_BYTES = sizeof BEGIN - 1;
constexpr size_t TRAILER_BYTES = 7; // 10=nnn and SOH
constexpr size_t LENGTH_DIGITS_MAX = 6;
constexpr unsigned PLAIN_FIELDS = 5;
constexpr uint64_t PLAIN_TAGS =
    uint64_t{1} << 34 | uint64_t{1} << 35 | uint64_t{1} << 49 | uint64_t{1} << 52 | uint64_t{1} << 56;

void broken(Frame *frame, std::string text) {
    frame->kind = Frame::Broken;
    frame->text = std::move(text);
}

void garbled(Frame *frame, std::string text) {
    if (frame->kind == Frame::Garbled)
        return; // the first fault is the one to tell
    frame->kind = Frame::Garbled;
    frame->text = std::move(text);
}

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

bool is_trailer(const char *at) {
    return memcmp(at, "10=", 3) == 0 && is_digit(at[3]) && is_digit(at[4]) && is_digit(at[5]) && at[6] == SOH;
}

// The offset behind the first trailer at or after `from`; 0 when there is none in the bytes.
size_t find_end(const char *data, size_t bytes, size_t from) {
    for (size_t at = from; at + TRAILER_BYTES <= bytes; at++) {
        const void *found = memchr(data + at, '1', bytes - TRAILER_BYTES + 1 - at);
        if (found == nullptr)
            return 0;
        at = static_cast<size_t>(static_cast<const char *>(found) - data);
        if (data[at - 1] == SOH && is_trailer(data + at))
            return at + TRAILER_BYTES;
    }
    return 0;
}

bool is_header_tag(unsigned tag) {
    switch (tag) {
    case 8:
    case 9:
    case 34:
    case 35:
    case 43:
    case 49:
    case 50:
    case 52:
    case 56:
    case 57:
    case 90:
    case 91:
    case 97:
    case 115:
    case 116:
    case 122:
    case 128:
    case 129:
    case 142:
    case 143:
    case 144:
    case 145:
    case 212:
    case 213:
    case 347:
    case 369:
    case 370:
    case 627:
        return true;
    default:
        return false;
    }
}

void header_field(Frame *frame, unsigned tag, const char *value, size_t bytes) {
    if (tag == 52) {
        frame->time = static_cast<size_t>(value - frame->data);
        frame->time_bytes = bytes;
    } else if (tag == 35)
        frame->type.assign(value, bytes);
    else if (tag == 49)
        frame->sender.assign(value, bytes);
    else if (tag == 56)
        frame->target.assign(value, bytes);
    else if (tag == 43)
        frame->poss_dup = bytes == 1 && *value == 'Y';
    else if (tag == 97)
        frame->poss_resend = bytes == 1 && *value == 'Y';
    else if (tag == 34 && bytes > 0 && bytes <= 18) {
        frame->number = 0;
        frame->has_number = true;
        for (size_t i = 0; i < bytes; i++) {
            frame->has_number = frame->has_number && is_digit(value[i]);
            frame->number = frame->number * 10 + static_cast<uint64_t>(value[i] - '0');
        }
    }
}

// Header fields from `at` on; leaves frame->body at the first field of another kind.
void read_header(Frame *frame, size_t at) {
    frame->body = frame->trailer;
    unsigned count = 0;
    uint64_t tags = 0; // of those below 64
    while (at < frame->trailer) {
        const char *field = frame->data + at, *end = frame->data + frame->trailer;
        unsigned tag = 0;
        const char *c = field;
        for (; c < end && is_digit(*c) && tag < 100000; c++)
            tag = tag * 10 + static_cast<unsigned>(*c - '0');
        if (c == end || *c != '=' || !is_header_tag(tag)) {
            frame->body = at;
            break;
        }
        const char *stop = static_cast<const char *>(memchr(c, SOH, static_cast<size_t>(end - c)));
        if (stop == nullptr) {
            frame->body = at;
            break;
        }
        header_field(frame, tag, c + 1, static_cast<size_t>(stop - c - 1));
        count += *field == '0' ? PLAIN_FIELDS + 1 : 1;
        tags |= tag < 64 ? uint64_t{1} << tag : 0;
        at = static_cast<size_t>(stop - frame->data) + 1;
    }
    frame->plain = count == PLAIN_FIELDS && tags == PLAIN_TAGS;
}

void check_sum(Frame *frame) {
    unsigned sum = 0;
    for (size_t i = 0; i < frame->trailer; i++)
        sum += static_cast<unsigned char>(frame->data[i]);
    const char *stated = frame->data + frame->trailer + 3;
    unsigned given = static_cast<unsigned>((stated[0] - '0') * 100 + (stated[1] - '0') * 10 + (stated[2] - '0'));
    if (given == sum % 256)
        return;
    char text[96];
    snprintf(text, sizeof text, "CheckSum(10) is %03u, the bytes before it sum to %03u", given, sum % 256);
    garbled(frame, text);
}

// BodyLength's digits from `at` on: the offset of the body's first byte, 0 when the frame is settled otherwise.
size_t read_length(const char *data, size_t bytes, Frame *frame, size_t *length) {
    size_t at = BEGIN_BYTES;
    while (at < bytes && is_digit(data[at]) && at < BEGIN_BYTES + LENGTH_DIGITS_MAX)
        *length = *length * 10 + static_cast<size_t>(data[at++] - '0');
    if (at == bytes)
        return 0;
    if (at == BEGIN_BYTES || data[at] != SOH) {
        broken(frame, "BodyLength(9) must be the message's second field and a number of bytes");
        return 0;
    }
    if (*length > MESSAGE_BYTES_MAX) {
        broken(frame, "BodyLength(9) is " + std::to_string(*length) + ", at most " + std::to_string(MESSAGE_BYTES_MAX) +
                          " bytes are taken");
        return 0;
    }
    return at + 1;
}

} // namespace

void read_frame(const char *data, size_t bytes, Frame *frame) {
    frame->kind = Frame::Partial;
    frame->data = data;
    frame->bytes = frame->number = frame->time = frame->time_bytes = frame->body = frame->trailer = 0;
    frame->text.clear();
    frame->type.clear();
    frame->sender.clear();
    frame->target.clear();
    frame->has_number = frame->poss_dup = frame->poss_resend = frame->plain = false;
    size_t known = bytes < BEGIN_BYTES ? bytes : BEGIN_BYTES;
    if (memcmp(data, BEGIN, known) != 0)
        return broken(frame, "a message must begin with 8=FIX.4.4 and 9=<BodyLength>");
    if (bytes < BEGIN_BYTES)
        return;
    size_t length = 0, start = read_length(data, bytes, frame, &length);
    if (start == 0)
        return;
    size_t end = start + length + TRAILER_BYTES;
    if (bytes < end)
        return;
    frame->kind = Frame::Good;
    if (data[start + length - 1] != SOH || !is_trailer(data + start + length)) {
        end = find_end(data, bytes, start);
        if (end == 0)
            return broken(frame, "BodyLength(9) is " + std::to_string(length) + " and no CheckSum(10) follows there");
        garbled(frame, "BodyLength(9) is " + std::to_string(length) + ", the body has " +
                           std::to_string(end - TRAILER_BYTES - start) + " bytes");
    }
    frame->bytes = end;
    frame->trailer = end - TRAILER_BYTES;
    read_header(frame, start);
    if (memcmp(data + start, "35=", 3) != 0 || frame->type.empty())
        garbled(frame, "MsgType(35) must be the message's third field");
    check_sum(frame);
    if (!frame->has_number)
        garbled(frame, "MsgSeqNum(34) is missing or no number");
}

std::string body_field(const Frame &frame, const char *tag) {
    std::string sought = std::string(tag) + "=";
    size_t at = frame.body;
    while (at < frame.trailer) {
        const char *field = frame.data + at;
        const char *stop = static_cast<const char *>(memchr(field, SOH, frame.trailer - at));
        if (stop == nullptr)
            return "";
        size_t bytes = static_cast<size_t>(stop - field);
        if (bytes > sought.size() && memcmp(field, sought.data(), sought.size()) == 0)
            return std::string(field + sought.size(), bytes - sought.size());
        at += bytes + 1;
    }
    return "";
}

} // namespace venue
