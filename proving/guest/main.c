/* Statement 1: from the state behind prev_state_root, exactly these commands in this order give exactly these events,
 * withdrawals and state (spec/statements.md).
 *
 * Everything the prover supplies is either hashed into a root that the public values carry, or implied by one: the
 * shown part of the state together with the blocks for the rest must make prev_state_root, and the same blocks with
 * what the shown part has become make state_root. There is no heap that is assumed to be zero, and no length from
 * the input that is used unchecked.
 */
#include "guest.h"

/* What a build does; measuring builds leave parts out to learn what each costs, and prove nothing. */
#define PART_STATE 1  /* hash the state before and after */
#define PART_MATCH 2  /* apply the commands */
#define PART_LEAVES 4 /* hash commands and events */
#ifndef GUEST_PARTS
#define GUEST_PARTS 7
#endif

struct input {
    u64 command_count;
    u64 symbol_count, account_count; /* shown */
    u64 symbol_regions, account_regions;
    const u64 *symbol_numbers, *account_numbers;
    const u64 *symbol_blocks, *symbol_blocks_end, *account_blocks, *account_blocks_end;
    const struct command *commands;
    const u64 *annexes;
    struct slot *slots, *slots_end; /* as given */
    struct slot *slots_max;         /* as far as they may be overwritten */
};

/* Takes `count` items of `size` words off what is left; null when there are not so many. */
static const u64 *take(const u64 **at, const u64 *end, u64 count, u64 size) {
    const u64 *taken = *at;
    if (count > (u64)(end - taken) / size)
        return 0;
    *at = taken + count * size;
    return taken;
}

static enum guest_status read_input(struct input *input, const struct guest_memory *memory) {
    const u64 *header = memory->input, *end = header + memory->input_words, *at = header + INPUT_HEADER_WORDS;
    if (memory->input_words < INPUT_HEADER_WORDS || memory->input_words > INPUT_WORDS_MAX || header[0] != INPUT_FORMAT)
        return GUEST_BAD_INPUT;
    input->command_count = header[1];
    input->symbol_count = header[2];
    input->account_count = header[3];
    input->symbol_regions = header[4];
    input->account_regions = header[5];
    if (input->command_count == 0 || header[2] > header[4] || header[3] > header[5])
        return GUEST_BAD_INPUT;
    input->symbol_numbers = take(&at, end, header[2], 1);
    input->account_numbers = take(&at, end, header[3], 1);
    if (input->symbol_numbers == 0 || input->account_numbers == 0)
        return GUEST_BAD_INPUT;
    input->symbol_blocks = take(&at, end, header[6], DIGEST_WORDS);
    input->symbol_blocks_end = at;
    if (input->symbol_blocks == 0)
        return GUEST_BAD_INPUT;
    input->account_blocks = take(&at, end, header[7], DIGEST_WORDS);
    input->account_blocks_end = at;
    if (input->account_blocks == 0)
        return GUEST_BAD_INPUT;
    input->commands = (const struct command *)take(&at, end, header[1], 8);
    if (input->commands == 0)
        return GUEST_BAD_INPUT;
    input->annexes = take(&at, end, header[1], DIGEST_WORDS);
    if (input->annexes == 0 || (u64)(end - at) % 8 != 0)
        return GUEST_BAD_INPUT;
    input->slots = (struct slot *)(memory->input + (at - header));
    input->slots_end = (struct slot *)(memory->input + memory->input_words);
    input->slots_max = input->slots + (memory->input_words_max - (u64)(at - header)) / 8;
    return GUEST_OK;
}

/* ---- the state before ---- */

/* Which of the two trees of the state: what differs between them. */
struct kind {
    u64 domain;
    u64 size_word; /* of a table's first slot: how many slots follow */
    enum core_status (*restore)(struct core *core, const struct slot *slots, u64 count);
    u64 (*walk)(const struct core *core, u64 number, struct slot *slots);
};
static const struct kind SYMBOL = {DOMAIN_SYMBOL, 6, core_restore_symbol, core_walk_symbol};
static const struct kind ACCOUNT = {DOMAIN_ACCOUNT, 3, core_restore_account, core_walk_account};

/* Appends the blocks for the numbers from the tree's count to `to`. A digest is hashed as it is: its halves must be
 * below the field's prime, or the permutation's circuit has no meaning. */
static const u64 *push_blocks(struct tree *tree, u64 to, const u64 *blocks, const u64 *blocks_end) {
    while (tree->count < to) {
        u64 level = block_level(tree->count, to), *top = tree->top;
        if (blocks == blocks_end)
            return 0;
        for (int i = 0; i < DIGEST_WORDS; i++, blocks++) {
            if ((*blocks & 0xffffffffu) >= FIELD_PRIME || *blocks >> 32 >= FIELD_PRIME)
                return 0;
            top[i] = *blocks;
        }
        tree_push(tree, level);
    }
    return blocks;
}

/* Hashes and restores the shown tables; the tree over all `exist` numbers gives its root. Returns the slot after the
 * last one used, or null. */
static struct slot *show_tables(struct core *core, const struct kind *kind, const u64 *numbers, u64 count, u64 exist,
                                const u64 *blocks, const u64 *blocks_end, struct slot *slots,
                                const struct slot *slots_end, u64 root[DIGEST_WORDS]) {
    struct tree tree;
    tree_init(&tree);
    for (u64 i = 0; i < count; i++) {
        if (numbers[i] < tree.count || numbers[i] >= exist)
            return 0;
        blocks = push_blocks(&tree, numbers[i], blocks, blocks_end);
        if (blocks == 0 || slots == slots_end || slots->word[0] != numbers[i])
            return 0;
        u64 rest = slots->word[kind->size_word];
        if (rest >= (u64)(slots_end - slots) || kind->restore(core, slots, 1 + rest) != CORE_OK)
            return 0;
        if (GUEST_PARTS & PART_STATE)
            slots_digest(tree.top, kind->domain, slots, 1 + rest);
        tree_push(&tree, 0);
        slots += 1 + rest;
    }
    blocks = push_blocks(&tree, exist, blocks, blocks_end);
    if (blocks != blocks_end) /* null, or some left over */
        return 0;
    tree_root(&tree, root);
    return slots;
}

static enum guest_status restore_state(struct core **made, const struct input *input, const struct guest_memory *memory,
                                       u64 root[DIGEST_WORDS]) {
    struct core *core = memory->core;
    struct slot *slots = input->slots;
    u64 slot_count = (u64)(input->slots_end - slots), config_digest[STATE_WORDS];
    u64 symbols_root[DIGEST_WORDS], accounts_root[DIGEST_WORDS];
    struct core_config config;
    if (slot_count < 2)
        return GUEST_BAD_INPUT;
    config.symbols = slots->word[1];
    config.accounts = slots->word[2];
    config.assets = slots->word[3];
    config.orders = slots->word[4];
    config.levels = slots->word[5];
    u64 size = core_size_partial(&config, input->symbol_regions, input->account_regions);
    u64 killed = slots[1].word[4], config_slots;
    if (size == 0 || killed > KILLED_SESSIONS_MAX)
        return GUEST_BAD_CONFIG;
    config_slots = core_config_slots(config.assets, killed);
    if (config_slots > slot_count)
        return GUEST_BAD_CONFIG;
    if (size > memory->core_size_max || core_events_max(&config) > memory->events_max)
        return GUEST_NO_MEMORY;
    if (core_init_partial(core, &config, input->symbol_regions, input->account_regions) != CORE_OK ||
        core_restore_config(core, slots, config_slots) != CORE_OK)
        return GUEST_BAD_CONFIG;
    slots_digest(config_digest, DOMAIN_CONFIG, slots, config_slots);
    slots += config_slots;
    slots = show_tables(core, &SYMBOL, input->symbol_numbers, input->symbol_count, core_symbol_count(core),
                        input->symbol_blocks, input->symbol_blocks_end, slots, input->slots_end, symbols_root);
    if (slots == 0)
        return GUEST_BAD_STATE;
    slots = show_tables(core, &ACCOUNT, input->account_numbers, input->account_count, core_account_count(core),
                        input->account_blocks, input->account_blocks_end, slots, input->slots_end, accounts_root);
    if (slots != input->slots_end || core_restore_end(core) != CORE_OK)
        return GUEST_BAD_STATE;
    join_state_root(symbols_root, accounts_root, config_digest, root);
    *made = core;
    return GUEST_OK;
}

/* ---- the commands ---- */

static void settle(const struct event *event, struct public_values *values, struct withdrawal_tree *withdrawals) {
    u64 kind = event->head & 0xff;
    if (kind == EVENT_DEPOSITED)
        deposit_extend(values->deposit_acc, event);
    else if (kind == EVENT_WITHDRAWN)
        withdrawal_push(withdrawals, event);
}

static enum guest_status apply_commands(struct core *core, const struct input *input, struct event *events,
                                        struct public_values *values) {
    struct tree command_tree, event_tree;
    struct withdrawal_tree withdrawals;
    const struct command *command = input->commands;
    const u64 *annex = input->annexes;
    tree_init(&command_tree);
    tree_init(&event_tree);
    withdrawal_init(&withdrawals);
    for (u64 left = input->command_count; left > 0; left--, command++, annex += DIGEST_WORDS) {
        u64 count = GUEST_PARTS & PART_MATCH ? core_apply(core, command, events) : 0;
        if (count == CORE_FATAL)
            return core_status_last(core) == CORE_MISSING ? GUEST_MISSING : GUEST_BAD_COMMAND;
        if (!(GUEST_PARTS & PART_LEAVES))
            continue;
        command_leaf(command_tree.top, command, annex);
        tree_push(&command_tree, 0);
        for (u64 i = 0; i < count; i++) {
            event_leaf(event_tree.top, &events[i], annex, i);
            tree_push(&event_tree, 0);
            settle(&events[i], values, &withdrawals);
        }
    }
    values->first_seq = input->commands->seq;
    values->last_seq = core_last_seq(core);
    values->command_count = command_tree.count;
    values->event_count = event_tree.count;
    tree_root(&command_tree, values->command_root);
    tree_root(&event_tree, values->event_root);
    withdrawal_root(&withdrawals, values->withdrawal_root);
    return GUEST_OK;
}

/* ---- the state after ---- */

/* Walks a table into the buffer and appends its digest. */
static u64 push_walk(struct tree *tree, const struct core *core, const struct kind *kind, u64 number,
                     const struct input *input) {
    u64 count = kind->walk(core, number, 0);
    if (count == 0 || count > (u64)(input->slots_max - input->slots))
        return 0;
    kind->walk(core, number, input->slots);
    slots_digest(tree->top, kind->domain, input->slots, count);
    tree_push(tree, 0);
    return count;
}

/* Root over the shown numbers as they are now, the created ones, and the same blocks as before. */
static enum guest_status walk_tables(const struct core *core, const struct kind *kind, const u64 *numbers, u64 count,
                                     u64 existed, u64 exist, const u64 *blocks, const u64 *blocks_end,
                                     const struct input *input, u64 root[DIGEST_WORDS]) {
    struct tree tree;
    tree_init(&tree);
    for (u64 i = 0; i < count; i++) {
        blocks = push_blocks(&tree, numbers[i], blocks, blocks_end);
        if (blocks == 0 || push_walk(&tree, core, kind, numbers[i], input) == 0)
            return GUEST_NO_MEMORY;
    }
    if (push_blocks(&tree, existed, blocks, blocks_end) == 0)
        return GUEST_BAD_STATE;
    while (tree.count < exist)
        if (push_walk(&tree, core, kind, tree.count, input) == 0)
            return GUEST_NO_MEMORY;
    tree_root(&tree, root);
    return GUEST_OK;
}

static enum guest_status walk_state(const struct core *core, const struct input *input, u64 symbols_before,
                                    u64 accounts_before, u64 root[DIGEST_WORDS]) {
    u64 symbols_root[DIGEST_WORDS], accounts_root[DIGEST_WORDS], config_digest[STATE_WORDS];
    u64 count = core_walk_config(core, 0);
    enum guest_status status =
        walk_tables(core, &SYMBOL, input->symbol_numbers, input->symbol_count, symbols_before, core_symbol_count(core),
                    input->symbol_blocks, input->symbol_blocks_end, input, symbols_root);
    if (status == GUEST_OK)
        status = walk_tables(core, &ACCOUNT, input->account_numbers, input->account_count, accounts_before,
                             core_account_count(core), input->account_blocks, input->account_blocks_end, input,
                             accounts_root);
    if (status != GUEST_OK)
        return status;
    if (count > (u64)(input->slots_max - input->slots)) /* more than were given, once sessions have been killed */
        return GUEST_NO_MEMORY;
    core_walk_config(core, input->slots);
    slots_digest(config_digest, DOMAIN_CONFIG, input->slots, count);
    join_state_root(symbols_root, accounts_root, config_digest, root);
    return GUEST_OK;
}

enum guest_status guest_run(const struct guest_memory *memory, uint8_t public_values[PUBLIC_VALUES_SIZE]) {
    struct input input;
    struct core *core;
    struct public_values values;
    enum guest_status status = read_input(&input, memory);
    if (status != GUEST_OK)
        return status;
    status = restore_state(&core, &input, memory, values.prev_state_root);
    if (status != GUEST_OK)
        return status;
    u64 symbols_before = core_symbol_count(core), accounts_before = core_account_count(core);
    for (int i = 0; i < 32; i++) {
        values.prev_deposit_acc[i] = ((const uint8_t *)(memory->input + 8))[i];
        values.deposit_acc[i] = values.prev_deposit_acc[i];
    }
    status = apply_commands(core, &input, memory->events, &values);
    if (status != GUEST_OK)
        return status;
    if (GUEST_PARTS & PART_STATE)
        status = walk_state(core, &input, symbols_before, accounts_before, values.state_root);
    if (status != GUEST_OK)
        return status;
    public_values_write(&values, public_values);
    return GUEST_OK;
}
