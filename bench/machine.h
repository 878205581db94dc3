/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/** Machine: where and when figures were measured, in words for people */
typedef struct {
    char *date;
    char *cpu;
    char *memory;
    char *kernel;
    char *qemu;
    char *accel;      /* kvm or tcg */
    char *accel_text; /* what that means for the figures, and why it is that one */
    char *build;
} Machine;

/**
 * machine_describe:
 * @accel: what QEMU is to use: kvm or tcg
 * @why: that one
 *
 * Returns: (transfer full): what there is here and now
 */
Machine *machine_describe(const char *accel, const char *why);
void machine_free(Machine *machine);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Machine, machine_free)

G_END_DECLS
