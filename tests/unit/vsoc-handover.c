/* SPDX-License-Identifier: Apache-2.0 */
/* The messages of the hand-over: docs/protocol.md, The VM socket. */
#include "vsoc/handover.h"

#include <glib.h>

/* For each number that the VM can have. The last is sent only by a server that asks when the guest
 * is ready. */
static void test_two_regions(void)
{
    static const struct vsoc_handover_message expected[2][8] = {
        {
            {VSOC_HANDOVER_VERSION, 0, 0},
            {VSOC_HANDOVER_ID, 0, 0},
            {VSOC_HANDOVER_WINDOW, 0, -1},
            {VSOC_HANDOVER_GUEST_TO_HOST, 0, 1},
            {VSOC_HANDOVER_GUEST_TO_HOST, 1, 1},
            {VSOC_HANDOVER_HOST_TO_GUEST, 0, 0},
            {VSOC_HANDOVER_HOST_TO_GUEST, 1, 0},
            {VSOC_HANDOVER_READY, 0, 2},
        },
        {
            {VSOC_HANDOVER_VERSION, 0, 0},
            {VSOC_HANDOVER_ID, 0, 1},
            {VSOC_HANDOVER_WINDOW, 0, -1},
            {VSOC_HANDOVER_GUEST_TO_HOST, 0, 0},
            {VSOC_HANDOVER_GUEST_TO_HOST, 1, 0},
            {VSOC_HANDOVER_HOST_TO_GUEST, 0, 1},
            {VSOC_HANDOVER_HOST_TO_GUEST, 1, 1},
            {VSOC_HANDOVER_READY, 0, 2},
        },
    };

    g_assert_cmpuint(vsoc_handover_count(2), ==, 7);
    for (guint vm_id = 0; vm_id < 2; vm_id++)
        for (guint i = 0; i < 8; i++) {
            struct vsoc_handover_message message = vsoc_handover_get(i, 2, vm_id);

            g_assert_cmpint(message.kind, ==, expected[vm_id][i].kind);
            g_assert_cmpuint(message.region, ==, expected[vm_id][i].region);
            g_assert_cmpint(message.value, ==, expected[vm_id][i].value);
        }
}

static void test_bytes(void)
{
    static const struct {
        gint64 value;
        guint8 bytes[VSOC_HANDOVER_SIZE];
    } cases[] = {
        {0, {0}},
        {1, {1}},
        {-1, {255, 255, 255, 255, 255, 255, 255, 255}},
        {0x0807060504030201, {1, 2, 3, 4, 5, 6, 7, 8}},
        {G_MININT64, {0, 0, 0, 0, 0, 0, 0, 128}},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        guint8 bytes[VSOC_HANDOVER_SIZE];

        vsoc_handover_encode(bytes, cases[i].value);
        g_assert_cmpmem(bytes, sizeof bytes, cases[i].bytes, sizeof bytes);
        g_assert_cmpint(vsoc_handover_decode(bytes), ==, cases[i].value);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vsoc-handover/two-regions", test_two_regions);
    g_test_add_func("/vsoc-handover/bytes", test_bytes);
    return g_test_run();
}
