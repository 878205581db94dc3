/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hostile VMs at the server of `--serve-only`, and what it does for clients meanwhile: a witness is
 * served every time, and in time.
 */
#include "base/fd.h"
#include "tests/support/instance.h"
#include "tests/support/region.h"
#include "tests/support/vm.h"
#include "tests/support/witness.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAME         "hostile"
#define MANY_REGIONS 2048
#define N_REGIONS    5 /* in conf/vsoc_mem.json */
#define N_MESSAGES   (3 + 2 * N_REGIONS)
#define MESSAGE_SIZE 8

static const char *const region_names[N_REGIONS] = {"hwcomposer", "sensors", "misc", "fb_manager",
                                                    "framebuffer"};

/* A launcher that serves, and the witness. */
typedef struct {
    TestInstance *instance;
    TestWitness witness;
} Fixture;

static void fixture_init_with(Fixture *f, TestInstance *take_instance, const char *region)
{
    f->instance = take_instance;
    test_process_wait_err(f->instance->launcher, ": serving without a VM", 1);
    test_witness_init(&f->witness, f->instance->launcher, f->instance->client_socket, region);
}

static void fixture_init(Fixture *f)
{
    fixture_init_with(f, test_instance_serve(NAME), "misc");
}

static TestProcess *start_vm(const Fixture *f)
{
    TestProcess *vm = test_vm_start(f->instance->sandbox, "--socket", f->instance->vm_socket, NULL);

    test_vm_wait_ready(vm);
    return vm;
}

/* A VM that behaves is served still. */
static void fixture_finish(Fixture *f)
{
    g_autoptr(TestProcess) vm = start_vm(f);

    test_ping(f->instance->client_socket, f->witness.region);
    test_launcher_stop(vm, SIGTERM);
    test_launcher_stop(f->instance->launcher, SIGTERM);
    test_sandbox_assert_clean(f->instance->sandbox, TEST_NOTHING_LEFT);
}

static void fixture_clear(Fixture *f)
{
    g_clear_pointer(&f->instance, test_instance_free);
    test_witness_clear(&f->witness);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Fixture, fixture_clear)

/* ---- One VM is one process, as its place is taken until that has ended ---- */

typedef struct {
    const char *socket;
    gsize n_read; /* how many bytes of the hand-over it takes */
    gsize n_sent; /* what it says then, where it has nothing to say */
} Vm;

static void read_bytes(int fd, gsize n)
{
    char bytes[N_MESSAGES * MESSAGE_SIZE];

    /* Descriptors that come with them go at once. */
    while (n > 0) {
        gssize n_read = read(fd, bytes, n);
        g_assert_cmpint(n_read, >, 0);
        n -= (gsize)n_read;
    }
}

static void read_to_end(int fd)
{
    char bytes[4096];

    while (read(fd, bytes, sizeof bytes) > 0)
        ;
}

static void be_vm(const Vm *vm)
{
    static const char bytes[4096];
    int fd = test_connect(vm->socket);

    read_bytes(fd, vm->n_read);
    if (vm->n_sent > 0 && send(fd, bytes, vm->n_sent, MSG_NOSIGNAL) >= 0)
        read_to_end(fd);
}

static void run_vm(const Vm *vm, guint *count)
{
    int status;
    pid_t pid = fork();

    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        be_vm(vm);
        _exit(0);
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
    test_count(count);
}

static void test_never_reads(gconstpointer data)
{
    g_auto(Fixture) f = {0};

    if (test_skip_without_fds(MANY_REGIONS))
        return;
    TestInstance *many = test_instance_new("cvd-1");
    g_autofree char *config = test_write_config(many->sandbox, MANY_REGIONS);
    many->launcher = test_launch_config(many->sandbox, config, "--serve-only", NULL);
    fixture_init_with(&f, many, "region0");
    pid_t pid = fork();
    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        int fd = test_connect(f.instance->vm_socket);
        g_assert_cmpint(fd, >=, 0);
        raise(SIGSTOP);
        _exit(0);
    }
    test_process_wait_err(f.instance->launcher, ": VM attached", 1);
    test_witness_stay(&f.witness, TEST_WITNESS_VISITS);
    kill(pid, SIGKILL);
    g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
    test_witness_report(&f.witness, "a VM that read nothing of a hand-over of %d regions",
                        MANY_REGIONS);
    fixture_finish(&f);
}

static void attack_sending(gconstpointer data, guint *count)
{
    const Fixture *f = data;

    for (guint i = 0;; i++) {
        Vm vm = {f->instance->vm_socket, i % (N_MESSAGES + 1) * MESSAGE_SIZE,
                 i % 2 == 0 ? 1 : 4096};
        run_vm(&vm, count);
    }
}

static void test_sends(gconstpointer data)
{
    g_auto(Fixture) f;

    fixture_init(&f);
    guint n = test_witness_attack(&f.witness, attack_sending, &f, 10 * (N_MESSAGES + 1));
    test_witness_report(&f.witness, "%u VMs that said something, before and after each message", n);
    fixture_finish(&f);
}

static void attack_leaving(gconstpointer data, guint *count)
{
    const Fixture *f = data;

    for (;;)
        for (gsize n_read = 0; n_read <= N_MESSAGES * MESSAGE_SIZE; n_read++) {
            Vm vm = {f->instance->vm_socket, n_read, 0};
            run_vm(&vm, count);
        }
}

static void test_leaves_at_each_message(gconstpointer data)
{
    const guint n_all = N_MESSAGES * MESSAGE_SIZE + 1;
    g_auto(Fixture) f;

    fixture_init(&f);
    guint n = test_witness_attack(&f.witness, attack_leaving, &f, 3 * n_all);
    test_witness_report(
        &f.witness, "%u VMs that left, at each byte of the hand-over, %u times over", n, n / n_all);
    fixture_finish(&f);
}

static void attack_in_crowds(gconstpointer data, guint *count)
{
    const Fixture *f = data;
    int fds[100];

    for (;;) {
        for (guint i = 0; i < G_N_ELEMENTS(fds); i++)
            fds[i] = test_connect(f->instance->vm_socket);
        for (guint i = 0; i < G_N_ELEMENTS(fds); i++) {
            test_vm_assert_refused(fds[i]);
            cvd_close_fd(&fds[i]);
            test_count(count);
        }
    }
}

/* The one that is attached notices nothing. */
static void test_many_at_once(gconstpointer data)
{
    g_auto(Fixture) f;

    fixture_init(&f);
    g_autoptr(TestProcess) vm = start_vm(&f);
    g_autoptr(TestRegion) region = test_region_attach(f.instance->client_socket, "sensors");
    guint n = test_witness_attack(&f.witness, attack_in_crowds, &f, 5000);
    test_region_echo(region);
    test_region_ping(region, region->data_offset, n);
    test_launcher_stop(vm, SIGTERM);
    test_witness_report(&f.witness, "%u VMs beside the one that is attached", n);
    fixture_finish(&f);
}

/* It rings from all regions and writes all over the window for as long as the test takes. */
static void test_scribbles(gconstpointer data)
{
    const guint n_rings = 200;
    g_autoptr(GPtrArray) regions = g_ptr_array_new_with_free_func((GDestroyNotify)test_region_free);
    g_auto(Fixture) f;

    fixture_init(&f);
    for (guint i = 0; i < N_REGIONS; i++)
        g_ptr_array_add(regions, test_region_attach(f.instance->client_socket, region_names[i]));
    g_autoptr(TestProcess) vm = test_vm_start(
        f.instance->sandbox, "--socket", f.instance->vm_socket, "--scribble", "--seed", "4", NULL);
    test_vm_wait_ready(vm);
    for (guint i = 0; i < n_rings; i++)
        for (guint j = 0; j < N_REGIONS; j++) {
            test_region_wait_ring(g_ptr_array_index(regions, j));
            test_witness_visit(&f.witness);
        }
    g_autoptr(GPtrArray) names = test_list_regions(f.instance->client_socket);
    g_assert_cmpuint(names->len, ==, N_REGIONS);
    for (guint i = 0; i < N_REGIONS; i++)
        g_assert_cmpstr(g_ptr_array_index(names, i), ==, region_names[i]);
    test_launcher_stop(vm, SIGTERM);
    for (guint i = 0; i < N_REGIONS; i++)
        test_region_wait_closed(g_ptr_array_index(regions, i));
    test_witness_report(&f.witness, "a guest that scribbled, for %u rings from each of %d regions",
                        n_rings, N_REGIONS);
    fixture_finish(&f);
}

static void test_stopped(gconstpointer data)
{
    g_auto(Fixture) f;

    fixture_init(&f);
    g_autoptr(TestProcess) vm = start_vm(&f);
    g_autoptr(TestRegion) region = test_region_attach(f.instance->client_socket, "sensors");
    test_process_signal(vm, SIGSTOP);
    for (guint i = 0; i < TEST_WITNESS_VISITS; i++) {
        test_region_ring(region);
        test_witness_visit(&f.witness);
    }
    test_process_signal(vm, SIGCONT);
    test_region_wait_ring(region);
    test_launcher_stop(vm, SIGTERM);
    test_witness_report(&f.witness, "a VM stopped by SIGSTOP, which then went on");
    fixture_finish(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add("/hostile-vms/never-reads", NULL, test_never_reads);
    test_add("/hostile-vms/sends", NULL, test_sends);
    test_add("/hostile-vms/leaves-at-each-byte", NULL, test_leaves_at_each_message);
    test_add("/hostile-vms/many-at-once", NULL, test_many_at_once);
    test_add("/hostile-vms/scribbles", NULL, test_scribbles);
    test_add("/hostile-vms/stopped", NULL, test_stopped);
    return g_test_run();
}
