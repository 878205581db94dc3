/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cvd-vm in the place of QEMU, at the VM socket of `cvd-launch --serve-only`: it serves as the
 * guest does, and whatever it does on purpose, the server serves on and clients learn of it.
 */
#include "base/fd.h"
#include "tests/support/instance.h"
#include "tests/support/region.h"
#include "tests/support/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define NAME      "fake"
#define N_SLOTS   4 /* of each signal table in conf/vsoc_mem.json */
#define N_REGIONS 5
#define MANY      2048

static const char *const region_names[N_REGIONS] = {"hwcomposer", "sensors", "misc", "fb_manager",
                                                    "framebuffer"};

static TestProcess *start_vm(const TestInstance *f)
{
    TestProcess *vm = test_vm_start(f->sandbox, "--socket", f->vm_socket, NULL);

    test_vm_wait_ready(vm);
    return vm;
}

static void ping_all(const TestInstance *f)
{
    for (guint i = 0; i < N_REGIONS; i++)
        test_ping(f->client_socket, region_names[i]);
}

/* The server still serves: whoever comes next as a VM, and its clients. */
static void fixture_finish(TestInstance *f)
{
    g_autoptr(TestProcess) vm = start_vm(f);

    ping_all(f);
    test_launcher_stop(vm, SIGTERM);
    test_launcher_stop(f->launcher, SIGTERM);
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

static void test_serves_every_region(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_serve(NAME);
    g_autoptr(TestProcess) vm = start_vm(f);
    test_launcher_assert_err(vm, "cvd-vm: window 2097152 bytes, layout 2.0, 5 regions\n");
    test_launcher_assert_err(vm, "cvd-vm: region 4 framebuffer 0x0000d000-0x0010e000 data 0x28\n");
    for (guint i = 0; i < N_REGIONS; i++) {
        g_autoptr(TestRegion) region = test_region_attach(f->client_socket, region_names[i]);
        guint32 last = region->end - region->begin - 8;

        test_region_echo(region);
        test_region_echo(region);
        g_assert_false(test_region_is_rung(region));
        test_region_ping(region, region->data_offset, 41);
        test_region_ping(region, last, G_MAXUINT32);
        g_assert_true(test_region_signals_are_zero(region));
    }
    g_assert_cmpstr(vm->out->str, ==, "");
    test_launcher_stop(vm, SIGTERM);
    test_launcher_assert_err(vm, "cvd-vm: stopped\n");
    fixture_finish(f);
}

static guint32 exchange(const TestRegion *region, guint32 offset)
{
    return __atomic_exchange_n(test_region_word(region, offset), 0, __ATOMIC_SEQ_CST);
}

static void test_no_room_for_answers(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_serve(NAME);
    g_autoptr(TestProcess) vm = start_vm(f);
    g_autoptr(TestRegion) region = test_region_attach(f->client_socket, "sensors");
    test_region_wait_room(region, f->client_socket, "misc");
    test_region_echo(region);
    test_launcher_stop(vm, SIGTERM);
}

/* As many at once as the table has room for. */
static void test_pipelined(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_serve(NAME);
    guint n_answered = 0;

    g_autoptr(TestProcess) vm = start_vm(f);
    g_autoptr(TestRegion) region = test_region_attach(f->client_socket, "sensors");
    for (guint32 i = 0; i < N_SLOTS; i++) {
        guint32 offset = region->data_offset + 8 * i;
        __atomic_store_n(test_region_word(region, offset), 100 * i, __ATOMIC_SEQ_CST);
        test_region_signal(region, offset);
    }
    while (n_answered < N_SLOTS) {
        test_region_wait_ring(region);
        exchange(region, region->in.word);
        for (guint32 i = 0; i < N_SLOTS; i++) {
            guint32 offset = exchange(region, region->in.table + 4 * i);
            if (offset == 0)
                continue;
            guint32 asked = (offset - 4 - region->data_offset) / 8;
            g_assert_cmpuint(*test_region_word(region, offset), ==, 100 * asked + 1);
            n_answered++;
        }
    }
    test_launcher_stop(vm, SIGTERM);
    fixture_finish(f);
}

/* What a client did before a VM was there is found by the one that comes. */
static void test_signalled_before_it_came(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_serve(NAME);
    g_autoptr(TestRegion) region = test_region_attach(f->client_socket, "misc");
    *test_region_word(region, region->data_offset) = 6;
    test_region_signal(region, region->data_offset);
    g_autoptr(TestProcess) vm = start_vm(f);
    test_region_wait_signal(region, region->data_offset + 4);
    g_assert_cmpuint(*test_region_word(region, region->data_offset + 4), ==, 7);
    test_launcher_stop(vm, SIGTERM);
    fixture_finish(f);
}

static void fill(int doorbell)
{
    guint64 limit = G_MAXUINT64 - 1;

    g_assert_cmpint(write(doorbell, &limit, sizeof limit), ==, sizeof limit);
}

/* A counter at its limit takes no further ring, so it has to be read. */
static void test_doorbell_at_its_limit(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_serve(NAME);
    g_autoptr(TestProcess) vm = start_vm(f);
    g_autoptr(TestRegion) region = test_region_attach(f->client_socket, "misc");
    fill(region->host_to_guest);
    test_region_wait_ring(region);
    for (guint i = 0; i < 3; i++)
        test_region_echo(region);
    test_launcher_stop(vm, SIGTERM);
    fixture_finish(f);
}

/* Whoever shares the doorbell can make it one that blocks, and leave no room in it. */
static void test_doorbell_that_blocks(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_serve(NAME);
    g_autoptr(TestProcess) vm = start_vm(f);
    g_autoptr(TestRegion) full = test_region_attach(f->client_socket, "misc");
    fill(full->guest_to_host);
    g_assert_no_errno(fcntl(full->guest_to_host, F_SETFL, 0));
    test_region_signal(full, full->data_offset);
    test_ping(f->client_socket, "sensors");
    test_launcher_stop(vm, SIGTERM);
    fixture_finish(f);
}

static void test_second_is_refused(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_serve(NAME);
    g_autoptr(TestProcess) first = start_vm(f);
    g_autoptr(TestProcess) second = test_vm_start(f->sandbox, "--socket", f->vm_socket, NULL);
    test_launcher_assert_exit(second, 1);
    test_launcher_assert_err(second, f->vm_socket);
    test_launcher_assert_err(second, "refused: another VM is attached");
    ping_all(f);
    test_launcher_stop(first, SIGTERM);
    fixture_finish(f);
}

static void test_next_finds_a_fresh_window(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_serve(NAME);
    g_autoptr(TestProcess) first = start_vm(f);
    g_autoptr(TestRegion) old = test_region_attach(f->client_socket, "misc");
    *test_region_word(old, old->data_offset) = 0x1234;
    *test_region_word(old, old->in.word) = 1;
    test_launcher_stop(first, SIGTERM);
    test_region_wait_closed(old);

    g_autoptr(TestProcess) second = start_vm(f);
    g_autoptr(TestRegion) region = test_region_attach(f->client_socket, "misc");
    g_assert_cmpuint(*test_region_word(region, region->data_offset), ==, 0);
    g_assert_true(test_region_signals_are_zero(region));
    test_region_echo(region);
    test_launcher_stop(second, SIGTERM);
    fixture_finish(f);
}

static void test_mute(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_serve(NAME);
    g_autoptr(TestProcess) vm = test_vm_start(f->sandbox, "--socket", f->vm_socket, "--mute", NULL);
    test_process_wait_err(vm, "cvd-vm: mute: nothing is served", 1);
    g_autoptr(TestRegion) region = test_region_attach(f->client_socket, "misc");
    test_region_signal(region, region->data_offset);
    test_region_ring(region);
    test_launcher_stop(vm, SIGTERM);
    test_region_wait_closed(region);
    g_assert_false(test_region_is_rung(region));
    fixture_finish(f);
}

static void test_dies(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_serve(NAME);
    g_autoptr(TestProcess) vm =
        test_vm_start(f->sandbox, "--socket", f->vm_socket, "--die-after", "3", NULL);
    test_vm_wait_ready(vm);
    g_autoptr(TestRegion) region = test_region_attach(f->client_socket, "misc");
    test_region_echo(region);
    test_region_echo(region);
    /* It answers this one too, but the server may have drained the doorbell before we look. */
    test_region_ring(region);
    test_process_wait_end(vm);
    g_assert_true(WIFSIGNALED(vm->status) && WTERMSIG(vm->status) == SIGKILL);
    test_region_wait_closed(region);
    fixture_finish(f);
}

static void test_dies_before_the_hand_over(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_serve(NAME);

    for (guint i = 0; i < 20; i++) {
        g_autoptr(TestProcess) vm =
            test_vm_start(f->sandbox, "--socket", f->vm_socket, "--die-after=0", NULL);
        test_process_wait_end(vm);
        g_assert_true(WIFSIGNALED(vm->status) && WTERMSIG(vm->status) == SIGKILL);
        g_assert_cmpstr(vm->err->str, ==, "");
    }
    fixture_finish(f);
}

static void test_slow(gconstpointer data)
{
    const gint64 slow_us = 30 * G_TIME_SPAN_MILLISECOND;
    g_autoptr(TestInstance) f = test_instance_serve(NAME);

    gint64 start_us = g_get_monotonic_time();
    g_autoptr(TestProcess) vm =
        test_vm_start(f->sandbox, "--socket", f->vm_socket, "--slow", "30", NULL);
    /* Clients need not wait for the hand-over. */
    test_process_wait_err(f->launcher, ": VM attached", 1);
    g_autoptr(TestRegion) region = test_region_attach(f->client_socket, "misc");
    test_vm_wait_ready(vm);
    g_assert_cmpint(g_get_monotonic_time() - start_us, >=, (3 + 2 * N_REGIONS) * slow_us);

    start_us = g_get_monotonic_time();
    test_region_echo(region);
    test_region_ping(region, region->data_offset, 1);
    g_assert_cmpint(g_get_monotonic_time() - start_us, >=, 2 * slow_us);
    test_launcher_stop(vm, SIGTERM);
    fixture_finish(f);
}

/* The window is the guest's to ruin; the server's answers do not come from there. */
static void test_scribbles(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_serve(NAME);
    g_autoptr(TestRegion) region = test_region_attach(f->client_socket, "misc");
    g_autofree guint8 *before = g_memdup2(region->map, 4096);
    g_autoptr(TestProcess) vm =
        test_vm_start(f->sandbox, "--socket", f->vm_socket, "--scribble", "--seed", "7", NULL);
    test_process_wait_err(vm, "cvd-vm: scribbling, seed 7", 1);
    test_vm_wait_ready(vm);
    do
        test_region_wait_ring(region);
    while (memcmp(before, region->map, 4092) == 0);
    for (guint i = 0; i < 20; i++) {
        g_autoptr(GPtrArray) names = test_list_regions(f->client_socket);
        g_assert_cmpuint(names->len, ==, N_REGIONS);
        for (guint j = 0; j < N_REGIONS; j++)
            g_assert_cmpstr(g_ptr_array_index(names, j), ==, region_names[j]);
    }
    test_launcher_stop(vm, SIGTERM);
    test_region_wait_closed(region);

    g_autoptr(TestProcess) next = start_vm(f);
    /* The last word of the page is the new VM's: it is ready. */
    g_assert_cmpmem(before, 4092, region->map, 4092);
    test_launcher_stop(next, SIGTERM);
    fixture_finish(f);
}

static void test_server_goes(gconstpointer data)
{
    int signal = GPOINTER_TO_INT(data);
    g_autoptr(TestInstance) f = test_instance_serve(NAME);
    g_autoptr(TestProcess) vm = start_vm(f);
    test_process_signal(f->launcher, signal);
    test_launcher_assert_exit(vm, 0);
    test_launcher_assert_err(vm, "cvd-vm: the server closed the connection\n");
    test_process_wait_end(f->launcher);
    /* What a killed one leaves, the next removes. */
    test_process_free(f->launcher);
    f->launcher = test_serve_only(f->sandbox, NAME);
    fixture_finish(f);
}

static void test_finds_the_instance(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_serve(NAME);
    g_autoptr(TestProcess) only = test_vm_start(f->sandbox, NULL);
    test_vm_wait_ready(only);
    g_autoptr(TestProcess) other = test_serve_only(f->sandbox, "other");
    g_autoptr(TestProcess) unsure = test_vm_start(f->sandbox, NULL);
    test_launcher_assert_exit(unsure, 1);
    test_launcher_assert_err(unsure, "2 instances run: fake, other; choose with --name");
    g_autoptr(TestProcess) named = test_vm_start(f->sandbox, "--name", "other", NULL);
    test_vm_wait_ready(named);
    g_autofree char *path = test_sandbox_instance_path(f->sandbox, "other", "client.sock");
    test_ping(path, "misc");
    test_launcher_stop(named, SIGTERM);
    test_launcher_stop(only, SIGTERM);
    test_launcher_stop(other, SIGTERM);
    fixture_finish(f);
}

/* Where the launcher has a QEMU of its own, nobody else may be the VM. */
static void test_refused_beside_qemu(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *socket = test_sandbox_instance_path(sandbox, NAME, "client.sock");

    g_autoptr(TestProcess) launcher =
        test_launch(sandbox, NAME, "--set", "lifecycle.stop=quit", NULL);
    test_launcher_wait_running(launcher);
    test_launcher_wait_guest(sandbox, NAME, 1);
    g_autoptr(TestProcess) vm = test_vm_start(sandbox, NULL);
    test_launcher_assert_exit(vm, 1);
    test_launcher_assert_err(vm, "without --serve-only");
    test_ping(socket, "misc");
    test_launcher_stop(launcher, SIGTERM);
    test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
}

static void test_nobody_to_attach_to(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *path = test_sandbox_path(sandbox, "none");
    g_autoptr(TestProcess) none = test_vm_start(sandbox, NULL);
    g_autoptr(TestProcess) wrong = test_vm_start(sandbox, "--socket", path, NULL);
    g_autoptr(TestProcess) usage = test_vm_start(sandbox, "--slow", "x", NULL);

    test_launcher_assert_exit(none, 1);
    test_launcher_assert_err(none, "no instance runs (looked in");
    test_launcher_assert_exit(wrong, 1);
    test_launcher_assert_err(wrong, path);
    test_launcher_assert_err(wrong, "No such file or directory");
    test_launcher_assert_exit(usage, 2);
    test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
}

/* Without a guest's limit of interrupt vectors each of 2048 regions is rung by itself. */
static void test_many_regions(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *config = test_write_config(sandbox, MANY);
    g_autofree char *socket = test_sandbox_instance_path(sandbox, "cvd-1", "client.sock");

    if (test_skip_without_fds(MANY))
        return;
    g_autoptr(TestProcess) launcher = test_launch_config(sandbox, config, "--serve-only", NULL);
    test_process_wait_err(launcher, ": serving without a VM", 1);
    g_autoptr(TestProcess) vm = test_vm_start(sandbox, "--name", "cvd-1", NULL);
    test_vm_wait_ready(vm);
    g_autoptr(TestRegion) first = test_region_attach(socket, "region0");
    for (guint i = 1; i < MANY; i++) {
        g_autofree char *name = g_strdup_printf("region%u", i);
        g_autoptr(TestRegion) region = test_region_attach(socket, name);

        test_region_echo(region);
        test_region_echo(first);
        g_assert_false(test_region_is_rung(region));
        g_assert_false(test_region_is_rung(first));
        test_region_ping(region, region->data_offset, i);
    }
    test_launcher_stop(vm, SIGTERM);
    test_launcher_stop(launcher, SIGTERM);
    test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add("/fake-vm/serves-every-region", NULL, test_serves_every_region);
    test_add("/fake-vm/pipelined", NULL, test_pipelined);
    test_add("/fake-vm/no-room-for-answers", NULL, test_no_room_for_answers);
    test_add("/fake-vm/signalled-before-it-came", NULL, test_signalled_before_it_came);
    test_add("/fake-vm/doorbell-at-its-limit", NULL, test_doorbell_at_its_limit);
    test_add("/fake-vm/doorbell-that-blocks", NULL, test_doorbell_that_blocks);
    test_add("/fake-vm/second-is-refused", NULL, test_second_is_refused);
    test_add("/fake-vm/next-finds-a-fresh-window", NULL, test_next_finds_a_fresh_window);
    test_add("/fake-vm/mute", NULL, test_mute);
    test_add("/fake-vm/dies", NULL, test_dies);
    test_add("/fake-vm/dies-before-the-hand-over", NULL, test_dies_before_the_hand_over);
    test_add("/fake-vm/slow", NULL, test_slow);
    test_add("/fake-vm/scribbles", NULL, test_scribbles);
    test_add("/fake-vm/server-stops", GINT_TO_POINTER(SIGTERM), test_server_goes);
    test_add("/fake-vm/server-is-killed", GINT_TO_POINTER(SIGKILL), test_server_goes);
    test_add("/fake-vm/finds-the-instance", NULL, test_finds_the_instance);
    test_add_unless("/fake-vm/refused-beside-qemu", NULL, test_refused_beside_qemu,
                    test_why_no_guest);
    test_add("/fake-vm/nobody-to-attach-to", NULL, test_nobody_to_attach_to);
    test_add("/fake-vm/many-regions", NULL, test_many_regions);
    return g_test_run();
}
