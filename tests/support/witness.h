/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "tests/support/process.h"

G_BEGIN_DECLS

/**
 * TestWitness:
 * @launcher: the process whose server is under attack
 * @socket: its client socket
 * @region: what to ask for
 * @times_us: (element-type gint64): how long each whole handshake took
 *
 * A well-behaved client that comes again and again while somebody attacks the server. It has to
 * be served each time, within TEST_WITNESS_MS.
 */
typedef struct {
    TestProcess *launcher;
    const char *socket;
    const char *region;
    GArray *times_us;
} TestWitness;

/** TEST_WITNESS_MS: what a handshake may take under attack; the median, as others use the machine
 */
#define TEST_WITNESS_MS 100
/** TEST_WITNESS_VISITS: how many handshakes are the least that prove something */
#define TEST_WITNESS_VISITS 100

void test_witness_init(TestWitness *witness, TestProcess *launcher, const char *socket,
                       const char *region);
/** test_witness_visit: one whole conversation of section 3 on a new connection */
void test_witness_visit(TestWitness *witness);
/** test_witness_stay: @n visits */
void test_witness_stay(TestWitness *witness, guint n);
void test_witness_clear(TestWitness *witness);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(TestWitness, test_witness_clear)

/**
 * test_witness_report:
 * @...: what was survived
 *
 * Fails the test unless the witness was served in time. Prints a line of the test summary.
 */
void test_witness_report(TestWitness *witness, const char *format, ...) G_GNUC_PRINTF(2, 3);

/**
 * TestAttack:
 * @data: as given
 * @count: to be counted up with test_count()
 *
 * Goes on for ever, in a process of its own.
 */
typedef void (*TestAttack)(gconstpointer data, guint *count);

/** test_count: one more of what is counted */
void test_count(guint *count);

/**
 * test_witness_attack:
 * @attack: what to do beside the visits
 * @data: for @attack
 * @goal: how often at least
 *
 * Visits until the attack has counted to @goal, at least TEST_WITNESS_VISITS times, then ends the
 * attack.
 *
 * Returns: what it had counted to
 */
guint test_witness_attack(TestWitness *witness, TestAttack attack, gconstpointer data, guint goal);

/** test_count_fds: Returns: how many descriptors the process has open */
guint test_count_fds(const TestProcess *process);
/**
 * TestMemory:
 * @pss_kb: the memory of a process, its share of what it shares included
 * @anonymous_kb: what of it is nobody else's, and no file's
 */
typedef struct {
    guint pss_kb;
    guint anonymous_kb;
} TestMemory;

TestMemory test_get_memory(const TestProcess *process);
/**
 * test_assert_no_growth:
 *
 * Looks at the anonymous memory only: a share of a library grows when another program that has it
 * ends. Does not look under AddressSanitizer, which keeps what is freed for a while.
 */
void test_assert_no_growth(TestMemory before, TestMemory after, guint slack_kb);

G_END_DECLS
