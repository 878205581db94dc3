/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest may have written into the window, for the client library: the input is its first
 * pages, and somebody goes on writing words of it into them while the region is opened and used.
 */
#include "client/mapping.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define WINDOW_SIZE (64 * 1024)
#define BEGIN       4096
#define END         (3 * 4096)

static int window;
static guint8 *guest; /* the guest's view of it */
static guint n_words; /* atomic; 0 = nothing to write */

static gpointer scribble(gpointer data)
{
    guint32 state = 1;

    for (;;) {
        guint n = (guint)g_atomic_int_get((gint *)&n_words);
        state = state * 1664525 + 1013904223;
        if (n > 0)
            __atomic_store_n((guint32 *)(void *)guest + state / 65536 % (END / 4),
                             state % 7 == 0 ? state : state % 8192, __ATOMIC_RELAXED);
        else
            g_thread_yield();
    }
    return NULL;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    fuzz_init();
    window = memfd_create("window", MFD_CLOEXEC);
    if (ftruncate(window, WINDOW_SIZE) < 0)
        return 1;
    guest = mmap(NULL, WINDOW_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, window, 0);
    g_thread_unref(g_thread_new("guest", scribble, NULL));
    return 0;
}

static void take(void *mapping, guint32 offset)
{
    if (offset % 4 != 0 || offset == 0 || offset > ((CvdMapping *)mapping)->size - 4)
        abort();
}

static void use(CvdMapping *mapping)
{
    struct vsoc_end end = cvd_mapping_get_end(mapping);
    const struct vsoc_receiver receiver = {
        .first = 4, .last = (guint32)mapping->size - 4, .take = take, .data = mapping};

    vsoc_signals_must_ring(&end);
    vsoc_signals_receive(&end, &receiver);
    if (mapping->descriptor.offset_of_region_data > mapping->size)
        abort();
    vsoc_signals_send(&end, 64);
}

int LLVMFuzzerTestOneInput(const guint8 *data, gsize size)
{
    gboolean is_moving = size > 0 && (data[0] & 1) != 0;

    memset(guest, 0, END);
    memcpy(guest, data, MIN(size, END));
    g_atomic_int_set((gint *)&n_words, is_moving);
    g_autoptr(CvdMapping) mapping = cvd_mapping_new(window, "sensors", BEGIN, END, 0, NULL);
    if (mapping != NULL)
        use(mapping);
    g_atomic_int_set((gint *)&n_words, 0);
    return 0;
}
