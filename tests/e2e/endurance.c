/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything at once, for long: a guest that scribbles over all but one region without a pause, 50
 * clients that come and go in every way, a reset again and again, and one program that behaves, in
 * the region that is spared: of its signals none may be lost. In the end the launcher has grown by
 * nothing. CVD_ENDURANCE in the environment is how many seconds; without it a few.
 */
#include "client/cvd-client.h"
#include "tests/support/launcher.h"
#include "tests/support/region.h"
#include "tests/support/witness.h"

#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NAME      "endurance"
#define SPARED    "sensors"
#define N_CLIENTS 50
/* What malloc may keep of the most that there was at once, in kB. */
#define MAX_GROWTH_KB 256

typedef struct {
    char *socket;
    int is_over;      /* atomic */
    guint n_visits;   /* atomic */
    guint n_answered; /* of the signals of the one that behaves */
    guint n_resets;   /* that it saw */
} Shared;

static gboolean is_over(Shared *shared)
{
    return g_atomic_int_get(&shared->is_over);
}

/* ---- Those that come and go ---- */

/* Says some of what there is to say, and leaves. */
static void leave_early(const char *socket, GRand *random)
{
    static const char text[] = "GET PROTOCOL_VERINFORM REGION_NAME_LEN: 0x00000007GET REGION: ";
    int fd = test_try_connect(socket);

    if (fd < 0)
        return;
    send(fd, text, (gsize)g_rand_int_range(random, 0, sizeof text), MSG_NOSIGNAL);
    close(fd);
}

static void look_around(const char *socket, GRand *random)
{
    static const char *const names[] = {"hwcomposer", "misc", "fb_manager", "framebuffer"};
    const char *name = names[g_rand_int_range(random, 0, G_N_ELEMENTS(names))];
    g_autoptr(CvdRegion) region = cvd_region_open(socket, name, 0, NULL, NULL);

    if (region == NULL) /* its words may be scribbled over just now */
        return;
    g_bytes_unref(cvd_region_read(region, 0, 4096, NULL));
    cvd_region_signal(region, cvd_region_get_data_offset(region), NULL);
    GArray *offsets = cvd_region_wait(region, g_rand_int_range(random, 0, 50), NULL, NULL);
    g_clear_pointer(&offsets, g_array_unref);
}

static gpointer come_and_go(gpointer data)
{
    Shared *shared = data;
    GRand *random = g_rand_new();

    while (!is_over(shared)) {
        if (g_rand_int_range(random, 0, 4) == 0)
            leave_early(shared->socket, random);
        else
            look_around(shared->socket, random);
        g_atomic_int_inc(&shared->n_visits);
    }
    g_rand_free(random);
    return NULL;
}

/* ---- The one that behaves ---- */

static CvdRegion *open_spared(Shared *shared)
{
    g_autoptr(GError) error = NULL;
    CvdRegion *region = cvd_region_open(shared->socket, SPARED, 0, NULL, &error);

    if (region == NULL && !is_over(shared))
        g_error("%s", error->message);
    return region;
}

/* Returns: whether the answer came; else the guest was reset, or all is over */
static gboolean ask(Shared *shared, CvdRegion *region, guint number)
{
    guint asked = cvd_region_get_data_offset(region), answer = 0;
    g_autoptr(GError) error = NULL;

    if (!cvd_region_store(region, asked, number, &error) ||
        !cvd_region_signal(region, asked, &error)) {
        if (!g_error_matches(error, CVD_REGION_ERROR, CVD_REGION_ERROR_CLOSED))
            g_error("%s", error->message);
        return FALSE;
    }
    do {
        g_autoptr(GArray) offsets = cvd_region_wait(region, TEST_TIMEOUT_MS, NULL, &error);
        if (offsets == NULL && g_error_matches(error, CVD_REGION_ERROR, CVD_REGION_ERROR_CLOSED))
            return FALSE;
        if (offsets == NULL)
            g_error("signal %u is lost: %s", number, error->message);
        g_assert_true(cvd_region_load(region, asked + 4, &answer, NULL));
    } while (answer != number + 1);
    return TRUE;
}

static gpointer behave(gpointer data)
{
    Shared *shared = data;
    g_autoptr(CvdRegion) region = open_spared(shared);

    for (guint number = 1; !is_over(shared); number++) {
        if (ask(shared, region, number)) {
            shared->n_answered++;
            continue;
        }
        shared->n_resets++;
        g_object_unref(region);
        region = open_spared(shared);
        if (region == NULL)
            break;
    }
    return NULL;
}

/* ---- The test ---- */

static guint get_seconds(guint otherwise)
{
    const char *text = g_getenv("CVD_ENDURANCE");
    guint64 n = otherwise;

    if (text != NULL && !g_ascii_string_to_unsigned(text, 10, 1, 7 * 24 * 3600, &n, NULL))
        g_error("CVD_ENDURANCE=%s: expected seconds", text);
    return (guint)n;
}

/* The next reset may come when the guest serves again. */
static void reset(TestMonitor *monitor, const TestSandbox *sandbox, guint n_before)
{
    g_free(test_monitor_execute(monitor, "system_reset"));
    test_launcher_wait_guest(sandbox, NAME, n_before + 1);
}

static void pass(guint seconds)
{
    gint64 end_us = g_get_monotonic_time() + seconds * (gint64)G_USEC_PER_SEC;

    /* The passing of time is what is wanted. */
    while (g_get_monotonic_time() < end_us)
        g_usleep(100000);
}

static void test_endurance(gconstpointer data)
{
    guint seconds = get_seconds(12), every = seconds >= 120 ? 60 : 3;
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *monitor_argument = test_monitor_argument(sandbox);
    g_autoptr(TestProcess) launcher =
        test_launch(sandbox, NAME, "--set", "qemu.append=scribble=" SPARED, "--set",
                    monitor_argument, "--set", "lifecycle.stop=quit", NULL);
    Shared shared = {.socket = test_sandbox_instance_path(sandbox, NAME, "client.sock")};
    GThread *threads[N_CLIENTS + 1];

    test_launcher_wait_running(launcher);
    test_launcher_wait_guest(sandbox, NAME, 1);
    g_autoptr(TestMonitor) monitor = test_monitor_connect(sandbox);
    guint n_fds = test_count_fds(launcher);
    for (guint i = 0; i < N_CLIENTS; i++)
        threads[i] = g_thread_new("client", come_and_go, &shared);
    threads[N_CLIENTS] = g_thread_new("signals", behave, &shared);

    pass(every); /* until everything that is cached is */
    TestMemory before = test_get_memory(launcher);
    for (guint passed = every, n = 1; passed < seconds; passed += every, n++) {
        reset(monitor, sandbox, n);
        pass(every);
        g_test_message("%u s: %u resets, %u visits, %u signals answered, PSS %u kB", passed + every,
                       n, (guint)g_atomic_int_get(&shared.n_visits), shared.n_answered,
                       test_get_memory(launcher).pss_kb);
    }
    TestMemory after = test_get_memory(launcher);
    g_atomic_int_set(&shared.is_over, TRUE);
    for (guint i = 0; i <= N_CLIENTS; i++)
        g_thread_join(threads[i]);

    g_test_message("survived %u s: %u visits of %u clients, %u resets, %u signals and none lost, "
                   "memory of its own %u -> %u kB, PSS %u -> %u kB",
                   seconds, shared.n_visits, N_CLIENTS, shared.n_resets, shared.n_answered,
                   before.anonymous_kb, after.anonymous_kb, before.pss_kb, after.pss_kb);
    g_assert_cmpuint(shared.n_answered, >, 0);
    g_assert_cmpuint(shared.n_resets, >, 0);
    test_assert_no_growth(before, after, MAX_GROWTH_KB);
    /* The last connections are closed when the launcher has come round. */
    g_autoptr(GPtrArray) names = test_list_regions(shared.socket);
    g_assert_cmpuint(names->len, ==, 5);
    g_assert_cmpuint(test_count_fds(launcher), <=, n_fds + 1);
    test_launcher_stop_clean(launcher, SIGTERM, sandbox);
    g_free(shared.socket);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add("/endurance", NULL, test_endurance);
    return g_test_run();
}
