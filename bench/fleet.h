/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "tests/support/clone.h"

G_BEGIN_DECLS

/**
 * Fleet:
 * @sandbox: where all of it lives
 * @is_linux: whether the guest is Linux with the agent, else it is the built-in one
 * @argv: (element-type utf8): what boots a machine
 * @source: (nullable): the launcher of the one that has booted
 *
 * A machine that boots, its snapshot, and machines that start from there.
 */
typedef struct {
    TestSandbox *sandbox;
    gboolean is_linux;
    GPtrArray *argv;
    TestProcess *source;
    char *source_socket;
} Fleet;

/** fleet_new: nothing is started yet; @accel: what QEMU is to use */
Fleet *fleet_new(gboolean is_linux, const char *accel);
/** fleet_free: all machines have ended, and nothing but snapshots is left */
void fleet_free(Fleet *fleet);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Fleet, fleet_free)

/** fleet_boot: starts the source. Returns: milliseconds from exec to the guest's first answer */
double fleet_boot(Fleet *fleet);
/** fleet_shut: ends the source */
void fleet_shut(Fleet *fleet);
/** fleet_save: makes the snapshot, with which the source ends. Returns: milliseconds */
double fleet_save(Fleet *fleet);
/** fleet_delete: deletes the snapshot */
void fleet_delete(const Fleet *fleet);

/** fleet_start: Returns: (transfer full): a machine that starts from the snapshot */
TestClone *fleet_start(const Fleet *fleet, guint index);
/** fleet_wait_answer: waits for the first answer of its guest */
void fleet_wait_answer(const TestClone *machine);
/** fleet_restore: the two of them. Returns: milliseconds from exec to the answer */
double fleet_restore(const Fleet *fleet, guint index, TestClone **machine);

G_END_DECLS
