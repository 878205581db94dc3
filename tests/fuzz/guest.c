/* SPDX-License-Identifier: Apache-2.0 */
/* What a host may have written into the window, for the built-in guest and cvd-vm. */
#include "tests/fuzz/fuzz.h"
#include "vsoc/serve.h"

#include <string.h>
#include <sys/mman.h>

#define WINDOW_SIZE (64 * 1024)

static struct vsoc_service service;
static guint8 *memory;

static void ring(void *data, uint32_t region)
{
    if (region >= service.window.layout.region_count)
        abort();
}

static void start_timer(void *data)
{
}

static void G_GNUC_PRINTF(2, 3) say(void *data, const char *format, ...)
{
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
    static const struct vsoc_service_hooks hooks = {ring, start_timer, say, say};

    memset(memory, 0, WINDOW_SIZE);
    memcpy(memory, data, MIN(size, WINDOW_SIZE));
    if (vsoc_service_open(&service, memory, WINDOW_SIZE, 16, &hooks, NULL) < 0)
        return 0;
    vsoc_service_look_at_all(&service);
    vsoc_service_retry(&service);
    vsoc_service_end_round(&service);
    return 0;
}
