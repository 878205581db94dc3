/* SPDX-License-Identifier: Apache-2.0 */
/* What a host may have written into the window, for the built-in guest and cvd-vm. */
#include "guests/builtin/signals.h"
#include "guests/builtin/window.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>
#include <sys/mman.h>

#define WINDOW_SIZE (64 * 1024)

static struct cvd_guest_window window;
static guint8 *memory;

static void ring(uint32_t region)
{
    if (region >= window.layout.region_count)
        abort();
}

static void drop(uint32_t region, enum cvd_guest_drop why, uint32_t offset)
{
    ring(region);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    fuzz_init();
    /* With a page behind it that nobody may touch. */
    memory = mmap(NULL, WINDOW_SIZE + 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return mprotect(memory, WINDOW_SIZE, PROT_READ | PROT_WRITE);
}

int LLVMFuzzerTestOneInput(const guint8 *data, gsize size)
{
    static const struct cvd_guest_hooks hooks = {ring, drop, ring};
    struct cvd_guest_fault fault;

    memset(memory, 0, WINDOW_SIZE);
    memcpy(memory, data, MIN(size, WINDOW_SIZE));
    if (cvd_guest_window_open(&window, memory, WINDOW_SIZE, 16, &fault) < 0)
        return 0;
    for (guint32 i = 0; i < window.layout.region_count; i++) {
        cvd_guest_signals_open(&window, i, &hooks);
        cvd_guest_signals_receive(&window, i, &hooks);
        cvd_guest_signals_waiting(&window, i);
    }
    return 0;
}
