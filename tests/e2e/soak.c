/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals in both directions, in lock step, and counted: every one that is sent is answered with
 * the right number, once, and a lost one would hold all up for good. CVD_SOAK in the environment is
 * how many; without it a number that takes a moment.
 */
#include "tests/support/launcher.h"
#include "tests/support/region.h"
#include "tests/support/vm.h"

#include <signal.h>

#define N_WITH_VM   20000
#define N_WITH_QEMU 2000
#define REGION      "sensors"

static guint64 count_or(guint64 otherwise)
{
    const char *text = g_getenv("CVD_SOAK");
    guint64 n = otherwise;

    if (text != NULL && !g_ascii_string_to_unsigned(text, 10, 1, G_MAXUINT32, &n, NULL))
        g_error("CVD_SOAK=%s: expected a number from 1 to %u", text, G_MAXUINT32);
    return n;
}

static guint32 exchange(const TestRegion *region, guint32 offset)
{
    return __atomic_exchange_n(test_region_word(region, offset), 0, __ATOMIC_SEQ_CST);
}

/* Returns: how often the guest signalled @wanted, which is all that it may signal */
static guint64 receive(const TestRegion *region, guint32 wanted)
{
    guint64 n = 0;

    exchange(region, region->in.word);
    for (guint32 i = 0; i < 1u << region->in.lg2; i++) {
        guint32 offset = exchange(region, region->in.table + 4 * i);
        g_assert_true(offset == 0 || offset == wanted);
        n += offset != 0;
    }
    return n;
}

static void soak(const char *client_socket, guint64 n)
{
    g_autoptr(TestRegion) region = test_region_attach(client_socket, REGION);
    guint32 asked = region->data_offset, answered = asked + 4;
    guint64 n_received = 0, n_empty = 0;
    gint64 start_us = g_get_monotonic_time();

    for (guint64 i = 0; i < n; i++) {
        guint64 before = n_received;
        __atomic_store_n(test_region_word(region, asked), (guint32)i, __ATOMIC_SEQ_CST);
        test_region_signal(region, asked);
        do {
            test_region_wait_ring(region);
            guint64 got = receive(region, answered);
            n_received += got;
            n_empty += got == 0;
        } while (n_received == before);
        g_assert_cmpuint(__atomic_load_n(test_region_word(region, answered), __ATOMIC_SEQ_CST), ==,
                         (guint32)i + 1);
    }
    g_assert_cmpuint(n_received, ==, n);
    g_assert_true(test_region_signals_are_zero(region));

    double seconds = (double)(g_get_monotonic_time() - start_us) / G_USEC_PER_SEC;
    g_test_message("%" G_GUINT64_FORMAT " signals sent, %" G_GUINT64_FORMAT
                   " answered, %.1f s, %.1f us each; %" G_GUINT64_FORMAT " surplus rings",
                   n, n_received, seconds, seconds / (double)n * 1e6, n_empty);
}

static void stop(TestProcess *process)
{
    test_process_signal(process, SIGTERM);
    test_launcher_assert_exit(process, 0);
}

static void test_with_vm(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *socket = test_sandbox_instance_path(sandbox, "soak", "client.sock");
    g_autoptr(TestProcess) launcher = test_serve_only(sandbox, "soak");
    g_autoptr(TestProcess) vm = test_vm_start(sandbox, "--name", "soak", NULL);

    test_vm_wait_ready(vm);
    soak(socket, count_or(N_WITH_VM));
    stop(vm);
    stop(launcher);
    test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
}

static void test_with_qemu(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *socket = test_sandbox_instance_path(sandbox, "soak", "client.sock");
    g_autoptr(TestProcess) launcher =
        test_launch(sandbox, "soak", "--set", "lifecycle.stop=quit", NULL);

    test_launcher_wait_running(launcher);
    test_launcher_wait_guest(sandbox, "soak", 1);
    soak(socket, count_or(N_WITH_QEMU));
    stop(launcher);
    test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add("/soak/cvd-vm", NULL, test_with_vm);
    if (g_getenv("CVD_GUEST") != NULL)
        test_add("/soak/qemu", NULL, test_with_qemu);
    return g_test_run();
}
