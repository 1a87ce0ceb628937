// Room made ready ahead of the stores: a thread that gives their files pages before messages need them.
//
// The first write to a page of a mapped file takes the system a microsecond or more, and much longer while the disk is
// busy with the journal; a session must not wait for that in the middle of a report. A store asks here while it has
// room left; without an answer in time it makes the room itself, so nothing depends on this thread but time.
#ifndef FIX_VENUE_AHEAD_H
#define FIX_VENUE_AHEAD_H

#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace venue {

class Store;

class Ahead {
  public:
    Ahead();
    ~Ahead();
    Ahead(const Ahead &) = delete;
    Ahead &operator=(const Ahead &) = delete;

    bool ask(Store *store); // false: busy, ask again later
    void forget(Store *store);
    std::mutex &mutex() { // a store that changes its file or its map holds it
        return m_mutex;
    }

  private:
    void run();

    std::mutex m_mutex;
    std::condition_variable m_asked;
    std::vector<Store *> m_stores; // that asked
    bool m_ending = false;
    std::thread m_thread; // the last member: it starts when the others are there
};

} // namespace venue

#endif
