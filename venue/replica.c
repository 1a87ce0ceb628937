/* The engine's state in a process that only follows the journal: core, order table and the reports they make.
 *
 * Why: an ExecutionReport needs what the order table knows, and a follower that sends reports must say exactly what the
 * engine said. It is the engine's own code on a state of its own. Must never write to the engine's folders.
 */
#include "engine_internal.h"

#include <errno.h>
#include <stdlib.h>

enum journal_status replica_open(const struct core_config *config, const char *path, u64 seq, struct engine **opened,
                                 char text[TEXT_BYTES]) {
    struct engine *replica = calloc(1, sizeof *replica);
    const char *fault = "";
    if (replica == 0) {
        snprintf(text, TEXT_BYTES, "no memory");
        return JOURNAL_FAILED;
    }
    replica->lock_fd = -1;
    replica->config = *config;
    orders_init(&replica->orders);
    enum journal_status status = engine_core_make(replica, text);
    if (status == JOURNAL_OK && path != 0) {
        status = snapshot_load(replica, seq, path, &fault, text);
        if (status == JOURNAL_DAMAGED)
            snprintf(text, TEXT_BYTES, "%.1000s: %s", path, fault);
    }
    if (status != JOURNAL_OK) {
        engine_free(replica);
        return status;
    }
    replica->reports.pending_count = 0; /* those were made before */
    *opened = replica;
    return JOURNAL_OK;
}

int replica_apply(struct engine *replica, const struct command *command, const uint8_t *annex, u64 annex_bytes) {
    struct names names;
    if (command->seq != replica->last_seq + 1 || annex_bytes < SALT_BYTES ||
        !names_read(annex + SALT_BYTES, annex_bytes - SALT_BYTES, &names))
        return 0;
    engine_replay_entry(replica, command, annex, annex_bytes);
    return 1;
}

int replica_save(struct engine *replica, const char *dir, uint32_t epoch) {
    struct image image = {0};
    if (!snapshot_image(replica, &image))
        return ENOMEM;
    int error = snapshot_write(dir, &image, epoch);
    snapshot_image_free(&image);
    return error;
}
