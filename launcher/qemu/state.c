/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/qemu/state.h"

#include <string.h>

/* The blocks are listed before all that is large. */
#define MAX_LIST (1024 * 1024)

/* As the block's name ends: before that is where its device is. Its length and its place follow,
 * both big-endian. */
static const char name[] = "/ivshmem.bar2";

gboolean cvd_state_unplace_window(guint8 *state, gsize size, guint64 window_size)
{
    const guint64 length = GUINT64_TO_BE(window_size);
    guint8 *end = state + MIN(size, MAX_LIST);
    guint8 *at = state;

    while ((at = memmem(at, (gsize)(end - at), name, strlen(name))) != NULL) {
        at += strlen(name);
        if (end - at < (gssize)(2 * sizeof length))
            return FALSE;
        if (memcmp(at, &length, sizeof length) != 0)
            continue;
        memset(at + sizeof length, 0, sizeof length);
        return TRUE;
    }
    return FALSE;
}
