// Frames: whole FIX messages out of a stream of bytes, bounded and checked before anything else looks at them.
//
// QuickFIX's own parser waits for ever for an absurd BodyLength and skips what it does not like without a word. Here the
// length is bounded, BodyLength and CheckSum are verified, and what is wrong is said so that the sender can be told.
#ifndef FIX_VENUE_FRAME_H
#define FIX_VENUE_FRAME_H

#include <cstdint>
#include <string>

namespace venue {

constexpr size_t MESSAGE_BYTES_MAX = 8192;

struct Frame {
    enum Kind {
        Partial, // more bytes are needed
        Good,
        Garbled, // its end is known: the next message can be read
        Broken, // the stream cannot be followed any more
    };
    Kind kind = Partial;
    const char *data = nullptr;
    size_t bytes = 0;
    std::string text; // what is wrong, for Garbled and Broken
    std::string type; // MsgType(35)
    std::string sender; // SenderCompID(49)
    std::string target; // TargetCompID(56)
    bool has_number = false; // MsgSeqNum(34) is there and a number
    uint64_t number = 0;
    bool poss_dup = false; // PossDupFlag(43) = Y
    bool poss_resend = false; // PossResend(97) = Y
    bool plain = false; // the header is MsgType(35), then 34, 49, 52 and 56, each once, in any order
    size_t time = 0, time_bytes = 0; // where the value of SendingTime(52) lies
    size_t body = 0; // offset of the first field that is not of the header
    size_t trailer = 0; // offset of CheckSum(10)
};

// Looks at the first message in data[0, bytes).
void read_frame(const char *data, size_t bytes, Frame *frame);

// The value of the first field `tag` of the body; empty when it is not there.
std::string body_field(const Frame &frame, const char *tag);

} // namespace venue

#endif
