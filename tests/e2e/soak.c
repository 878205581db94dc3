/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host program on the client library: signals in both directions, in lock step, and counted.
 * Every one that is sent is answered with the right number, once, and a lost one would hold all up
 * for good. CVD_SOAK in the environment is how many; without it a number that takes a moment.
 */
#include "client/cvd-client.h"
#include "tests/support/launcher.h"
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

static void assert_done(gboolean done, const GError *error)
{
    if (!done)
        g_error("%s", error->message);
}

/* Returns: how often the guest signalled @wanted, which is all that it may signal */
static guint64 receive(CvdRegion *region, guint wanted)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) offsets = cvd_region_wait(region, TEST_TIMEOUT_MS, NULL, &error);

    assert_done(offsets != NULL, error);
    for (guint i = 0; i < offsets->len; i++)
        g_assert_cmpuint(g_array_index(offsets, guint32, i), ==, wanted);
    return offsets->len;
}

static void signal_number(CvdRegion *region, guint offset, guint number)
{
    g_autoptr(GError) error = NULL;

    assert_done(cvd_region_store(region, offset, number, &error) &&
                    cvd_region_signal(region, offset, &error),
                error);
}

static guint load(CvdRegion *region, guint offset)
{
    g_autoptr(GError) error = NULL;
    guint number = 0;

    assert_done(cvd_region_load(region, offset, &number, &error), error);
    return number;
}

static void soak(const char *client_socket, guint64 n)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CvdRegion) region = cvd_region_open(client_socket, REGION, 0, NULL, &error);
    guint64 n_received = 0, n_empty = 0;

    assert_done(region != NULL, error);
    guint asked = cvd_region_get_data_offset(region), answered = asked + 4;
    gint64 start_us = g_get_monotonic_time();
    for (guint64 i = 0; i < n; i++) {
        signal_number(region, asked, (guint)i);
        while (n_received == i) {
            guint64 got = receive(region, answered);
            n_received += got;
            n_empty += got == 0;
        }
        g_assert_cmpuint(n_received, ==, i + 1);
        g_assert_cmpuint(load(region, answered), ==, (guint)i + 1);
    }

    double seconds = (double)(g_get_monotonic_time() - start_us) / G_USEC_PER_SEC;
    g_test_message("%" G_GUINT64_FORMAT " signals sent, %" G_GUINT64_FORMAT
                   " answered, %.1f s, %.1f us each; %" G_GUINT64_FORMAT " surplus rings",
                   n, n_received, seconds, seconds / (double)n * 1e6, n_empty);
}

static void test_with_vm(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *socket = test_sandbox_instance_path(sandbox, "soak", "client.sock");
    g_autoptr(TestProcess) launcher = test_serve_only(sandbox, "soak");
    g_autoptr(TestProcess) vm = test_vm_start(sandbox, "--name", "soak", NULL);

    test_vm_wait_ready(vm);
    soak(socket, count_or(N_WITH_VM));
    test_launcher_stop(vm, SIGTERM);
    test_launcher_stop(launcher, SIGTERM);
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
    test_launcher_stop(launcher, SIGTERM);
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
