/* SPDX-License-Identifier: Apache-2.0 */
/* The whole server, with a VM and clients that know only what the specification says. */
#include "server/cvd-server.h"

#include "base/fd.h"
#include "tests/unit/talk.h"
#include "vsoc/abi.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define HELLO     "GET PROTOCOL_VER"
#define REQUEST   "INFORM REGION_NAME_LEN: 0x00000007GET REGION: region1"
#define HANDSHAKE HELLO REQUEST
#define N_REGIONS 3

typedef struct {
    GMainContext *context;
    CvdLayout *layout;
    char *vm_socket;
    char *client_socket;
    char *legacy_socket;
    const char *version_reply;
    guint max_clients;
    guint handshake_timeout_ms;
    char *trace;            /* NULL: there is none */
    CvdAccessRules *access; /* NULL: the default */
    CvdServer *server;
    char *dir;
    GString *events;
    gboolean asks_ready;
    gboolean stop_when_attached;
    gboolean unref_when_attached;
    gboolean renew_when_detached;
    gboolean unref_when_detached;
    gboolean unref_when_ready;
} Fixture;

static void vm_attached(CvdServer *server, int pid, Fixture *f)
{
    g_assert_cmpint(pid, ==, getpid());
    g_string_append(f->events, "V+ ");
}

static void vm_handed_over(CvdServer *server, Fixture *f)
{
    g_string_append(f->events, "V! ");
}

static void vm_detached(CvdServer *server, Fixture *f)
{
    g_string_append(f->events, "V- ");
    if (f->renew_when_detached)
        g_string_append(f->events, cvd_server_renew(server, NULL) ? "renewed " : "not-renewed ");
    if (f->unref_when_detached)
        g_clear_object(&f->server);
}

static void guest_ready(CvdServer *server, Fixture *f)
{
    g_string_append(f->events, "G! ");
    if (f->unref_when_ready)
        g_clear_object(&f->server);
}

static void client_attached(CvdServer *server, int pid, const char *region, Fixture *f)
{
    g_assert_cmpint(pid, ==, getpid());
    g_string_append_printf(f->events, "C+%s ", region);
    if (f->stop_when_attached)
        cvd_server_stop(server);
    if (f->unref_when_attached)
        g_clear_object(&f->server);
}

static void client_detached(CvdServer *server, int pid, Fixture *f)
{
    g_string_append(f->events, "C- ");
}

static void make_server(Fixture *f)
{
    g_main_context_push_thread_default(f->context);
    f->server = g_object_new(CVD_TYPE_SERVER, "layout", f->layout, "vm-socket", f->vm_socket,
                             "client-socket", f->client_socket, "legacy-socket", f->legacy_socket,
                             "version-reply", f->version_reply, "max-clients", f->max_clients,
                             "handshake-timeout-ms", f->handshake_timeout_ms, "asks-ready",
                             f->asks_ready, "trace-file", f->trace, "access", f->access, NULL);
    g_main_context_pop_thread_default(f->context);
    g_signal_connect(f->server, "vm-attached", G_CALLBACK(vm_attached), f);
    g_signal_connect(f->server, "vm-handed-over", G_CALLBACK(vm_handed_over), f);
    g_signal_connect(f->server, "vm-detached", G_CALLBACK(vm_detached), f);
    g_signal_connect(f->server, "guest-ready", G_CALLBACK(guest_ready), f);
    g_signal_connect(f->server, "client-attached", G_CALLBACK(client_attached), f);
    g_signal_connect(f->server, "client-detached", G_CALLBACK(client_detached), f);
}

static Fixture *fixture_new(void)
{
    Fixture *f = g_new0(Fixture, 1);

    test_log_forget();
    f->context = g_main_context_new();
    f->layout = test_layout_new(N_REGIONS);
    f->dir = g_dir_make_tmp("cvd-XXXXXX", NULL);
    f->events = g_string_new(NULL);
    f->vm_socket = g_build_filename(f->dir, "vm.sock", NULL);
    f->client_socket = g_build_filename(f->dir, "client.sock", NULL);
    f->legacy_socket = g_build_filename(f->dir, "legacy.sock", NULL);
    f->max_clients = 1024;
    f->handshake_timeout_ms = 5000;
    return f;
}

static void start_server(Fixture *f)
{
    GError *error = NULL;

    make_server(f);
    g_assert_true(cvd_server_start(f->server, &error));
    g_assert_no_error(error);
}

static Fixture *fixture_start(void)
{
    Fixture *f = fixture_new();

    start_server(f);
    return f;
}

/* With a server that wants to hear when the guest is ready. */
static Fixture *fixture_start_asking(void)
{
    Fixture *f = fixture_new();

    f->asks_ready = TRUE;
    start_server(f);
    return f;
}

static void fixture_free(Fixture *f)
{
    g_clear_object(&f->server);
    if (f->trace != NULL)
        g_assert_cmpint(g_unlink(f->trace), ==, 0);
    g_assert_cmpint(g_rmdir(f->dir), ==, 0); /* so nothing was left in it */
    g_free(f->trace);
    g_free(f->vm_socket);
    g_free(f->client_socket);
    g_free(f->legacy_socket);
    g_free(f->dir);
    g_string_free(f->events, TRUE);
    cvd_layout_unref(f->layout);
    g_main_context_unref(f->context);
    g_free(f);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Fixture, fixture_free)

/* What a client has after its handshake. */
typedef struct {
    int socket;
    guint32 begin;
    guint32 end;
    int guest_to_host;
    int host_to_guest;
    int window;
} Client;

static guint32 hear_number(Fixture *f, int peer)
{
    char text[11] = {0};

    g_assert_cmpint(test_receive(f->context, peer, text, 10), ==, -1);
    g_assert_true(g_str_has_prefix(text, "0x"));
    return (guint32)g_ascii_strtoull(text + 2, NULL, 16);
}

static int hear_fd(Fixture *f, int peer)
{
    char zeros[8];
    int fd = test_receive(f->context, peer, zeros, sizeof zeros);

    g_assert_cmpint(fd, >=, 0);
    return fd;
}

static void hear_region(Fixture *f, Client *client)
{
    client->begin = hear_number(f, client->socket);
    client->end = hear_number(f, client->socket);
    client->guest_to_host = hear_fd(f, client->socket);
    client->host_to_guest = hear_fd(f, client->socket);
    client->window = hear_fd(f, client->socket);
}

static Client client_begin(Fixture *f)
{
    Client client = {.socket = test_connect(f->client_socket)};

    test_send(client.socket, HANDSHAKE, strlen(HANDSHAKE), -1);
    return client;
}

static void client_finish(Fixture *f, Client *client)
{
    test_expect(f->context, client->socket, "PROTOCOL_VER 0");
    hear_region(f, client);
}

static Client client_attach(Fixture *f)
{
    Client client = client_begin(f);

    client_finish(f, &client);
    return client;
}

static void client_clear(Client *client)
{
    cvd_close_fd(&client->socket);
    cvd_close_fd(&client->guest_to_host);
    cvd_close_fd(&client->host_to_guest);
    cvd_close_fd(&client->window);
}

/* What QEMU has after the hand-over. */
typedef struct {
    int socket;
    int window;
    int guest_to_host[N_REGIONS];
    int host_to_guest[N_REGIONS];
    int ready; /* −1: it was not asked for */
} Vm;

static int hear_message(Fixture *f, int peer, gint64 expected)
{
    gint64 value;
    int fd = test_receive(f->context, peer, &value, sizeof value);

    g_assert_cmpint(GINT64_FROM_LE(value), ==, expected);
    return fd;
}

static void hear_hand_over(Fixture *f, Vm *vm)
{
    g_assert_cmpint(hear_message(f, vm->socket, 0), ==, -1);
    g_assert_cmpint(hear_message(f, vm->socket, 1), ==, -1);
    vm->window = hear_message(f, vm->socket, -1);
    for (guint i = 0; i < N_REGIONS; i++)
        vm->guest_to_host[i] = hear_message(f, vm->socket, 0);
    for (guint i = 0; i < N_REGIONS; i++)
        vm->host_to_guest[i] = hear_message(f, vm->socket, 1);
    vm->ready = f->asks_ready ? hear_message(f, vm->socket, 2) : -1;
}

static Vm vm_attach(Fixture *f)
{
    Vm vm = {.socket = cvd_server_connect_vm(f->server, NULL)};

    g_assert_cmpint(vm.socket, >=, 0);
    hear_hand_over(f, &vm);
    return vm;
}

static void vm_clear(Vm *vm)
{
    cvd_close_fd(&vm->socket);
    cvd_close_fd(&vm->window);
    cvd_close_fd(&vm->ready);
    for (guint i = 0; i < N_REGIONS; i++) {
        cvd_close_fd(&vm->guest_to_host[i]);
        cvd_close_fd(&vm->host_to_guest[i]);
    }
}

static void test_start_and_stop(void)
{
    g_autoptr(Fixture) f = fixture_start();
    const char *paths[] = {f->vm_socket, f->client_socket, f->legacy_socket};
    struct stat st;

    for (gsize i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_assert_cmpint(stat(paths[i], &st), ==, 0);
        g_assert_true(S_ISSOCK(st.st_mode));
        g_assert_cmpuint(st.st_mode & 07777, ==, 0600);
    }
    g_assert_true(cvd_server_get_layout(f->server) == f->layout);
    g_assert_cmpuint(cvd_server_get_n_clients(f->server), ==, 0);
    cvd_server_stop(f->server);
    cvd_server_stop(f->server);
    for (gsize i = 0; i < G_N_ELEMENTS(paths); i++)
        g_assert_cmpint(access(paths[i], F_OK), ==, -1);
    g_assert_cmpuint(cvd_server_get_n_clients(f->server), ==, 0);
    g_assert_false(cvd_server_vm_has_read_all(f->server));
}

static void test_no_descriptor_is_left(void)
{
    guint n_fds = test_count_fds();
    g_autoptr(Fixture) f = fixture_start();
    guint n_own = f->context != NULL ? 1 : 0; /* a context has an eventfd of its own */

    Client client = client_attach(f);
    Vm vm = vm_attach(f);
    vm_clear(&vm);
    client_clear(&client);
    g_clear_object(&f->server);
    g_assert_cmpuint(test_count_fds(), ==, n_fds + n_own);
}

/* In a child: with one descriptor less than 2 × regions + 64 it refuses, with as many it starts;
 * the limit is its program's, and stays. */
static void start_with_low_limit(void)
{
    const rlim_t enough = 2 * N_REGIONS + 64;
    const struct rlimit limits[] = {{.rlim_cur = enough, .rlim_max = enough + 1},
                                    {.rlim_cur = enough - 1, .rlim_max = enough + 1}};
    struct rlimit limit;
    g_autoptr(GError) error = NULL;

    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &limits[0]), ==, 0);
    Fixture *f = fixture_start();
    g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &limit), ==, 0);
    g_assert_cmpuint(limit.rlim_cur, ==, enough);
    fixture_free(f);

    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &limits[1]), ==, 0);
    f = fixture_new();
    make_server(f);
    g_assert_false(cvd_server_start(f->server, &error));
    g_assert_error(error, CVD_ERROR, CVD_ERROR_RESOURCES);
    fixture_free(f);
    _exit(0);
}

static void test_limit_of_descriptors(void)
{
    test_with_low_fd_limit(start_with_low_limit);
}

/* The socket of the client goes last in a start: what was made before it is undone. */
static void test_start_fails(void)
{
    guint n_fds = test_count_fds();
    g_autoptr(Fixture) f = fixture_new();
    g_autoptr(GError) error = NULL;

    g_assert_true(g_file_set_contents(f->legacy_socket, "mine", -1, NULL));
    make_server(f);
    g_assert_false(cvd_server_start(f->server, &error));
    g_assert_error(error, CVD_ERROR, CVD_ERROR_FOREIGN);
    g_assert_cmpint(access(f->vm_socket, F_OK), ==, -1);
    g_assert_cmpint(access(f->client_socket, F_OK), ==, -1);
    g_assert_cmpint(g_unlink(f->legacy_socket), ==, 0);
    g_assert_cmpuint(test_count_fds(), ==, n_fds + 1);
}

/* A VM may be on its way while the window is made. */
static void test_listens_first(void)
{
    g_autoptr(Fixture) f = fixture_new();
    g_autoptr(GError) error = NULL;

    make_server(f);
    g_assert_true(cvd_server_listen(f->server, &error));
    g_assert_cmpint(access(f->client_socket, F_OK), ==, -1);
    Vm early = {.socket = cvd_server_connect_vm(f->server, &error)};
    g_assert_no_error(error);
    g_assert_true(cvd_server_start(f->server, &error));
    g_assert_no_error(error);
    hear_hand_over(f, &early);
    g_assert_cmpstr(f->events->str, ==, "V+ V! ");
    vm_clear(&early);
}

static void test_stops_while_listening(void)
{
    g_autoptr(Fixture) f = fixture_new();

    make_server(f);
    g_assert_true(cvd_server_listen(f->server, NULL));
    cvd_server_stop(f->server);
    g_assert_cmpint(access(f->vm_socket, F_OK), ==, -1);
    g_assert_cmpint(cvd_server_get_n_clients(f->server), ==, 0);
}

/* Memory and doorbells are the same ones for the VM and for a client, in both directions. */
static void test_vm_and_client_meet(void)
{
    g_autoptr(Fixture) f = fixture_start();
    Vm vm = vm_attach(f);
    Client client = client_attach(f);
    struct vsoc_shm_layout_descriptor header;

    g_assert_cmpstr(f->events->str, ==, "V+ V! C+region1 ");
    g_assert_true(cvd_server_vm_has_read_all(f->server));
    g_assert_true(test_is_doorbell(vm.guest_to_host[1], client.guest_to_host));
    g_assert_true(test_is_doorbell(client.host_to_guest, vm.host_to_guest[1]));

    g_assert_cmpint(pread(vm.window, &header, sizeof header, 0), ==, sizeof header);
    g_assert_cmpuint(header.major_version, ==, 2);
    g_assert_cmpuint(header.region_count, ==, N_REGIONS);
    g_assert_cmpuint(client.begin, ==, 8192);
    g_assert_cmpuint(client.end, ==, 12288);

    guint32 *as_guest = mmap(NULL, header.size, PROT_READ | PROT_WRITE, MAP_SHARED, vm.window, 0);
    guint32 *as_host = mmap(NULL, client.end - client.begin, PROT_READ | PROT_WRITE, MAP_SHARED,
                            client.window, client.begin);
    g_assert_true(as_guest != MAP_FAILED && as_host != MAP_FAILED);
    as_guest[client.begin / 4 + 7] = 0x12345678;
    g_assert_cmpuint(as_host[7], ==, 0x12345678);
    munmap(as_guest, header.size);
    munmap(as_host, client.end - client.begin);

    vm_clear(&vm);
    test_iterate_until(f->context, g_str_has_suffix(f->events->str, "V- "));
    client_clear(&client);
    test_iterate_until(f->context, g_str_has_suffix(f->events->str, "C- "));
}

/* A host program may come before the VM does. */
static void test_client_before_the_vm(void)
{
    g_autoptr(Fixture) f = fixture_start();
    Client client = client_attach(f);
    Vm vm = vm_attach(f);

    g_assert_true(test_is_doorbell(vm.guest_to_host[1], client.guest_to_host));
    vm_clear(&vm);
    client_clear(&client);
}

static void count_client(const CvdServerClient *client, gpointer data)
{
    ++*(guint *)data;
}

static void test_clients(void)
{
    g_autoptr(Fixture) f = fixture_start();
    Client client = client_attach(f);
    guint n = 0;

    cvd_server_foreach_client(f->server, count_client, &n);
    g_assert_cmpuint(n, ==, 1);
    cvd_server_stop(f->server);
    cvd_server_foreach_client(f->server, count_client, &n);
    g_assert_cmpuint(n, ==, 1);
    client_clear(&client);
}

static void test_legacy_client(void)
{
    g_autoptr(Fixture) f = fixture_start();
    cvd_autofd peer = test_connect(f->legacy_socket);
    guint32 version = 1;
    char bytes[8];
    int fds[3];

    g_assert_cmpint(test_receive(f->context, peer, &version, sizeof version), ==, -1);
    g_assert_cmpuint(version, ==, 0);
    test_send(peer, "\7\0region2", 9, -1);
    test_iterate_until(f->context, strcmp(f->events->str, "C+region2 ") == 0);
    g_assert_cmpint(cvd_socket_receive(peer, bytes, sizeof bytes, fds, 3), ==, 8);
    Client client = client_attach(f);
    g_assert_true(test_is_window(fds[2], client.window));
    g_assert_cmpuint(cvd_server_get_n_clients(f->server), ==, 2);
    client_clear(&client);
    for (guint i = 0; i < 3; i++)
        cvd_close_fd(&fds[i]);
}

static void count(GObject *object, GParamSpec *property, guint *n)
{
    ++*n;
}

static void test_properties(void)
{
    g_autoptr(Fixture) f = fixture_start();
    guint n_vm = 0, n_clients = 0, clients = 0, mode = 0;
    int vm_pid = -1;
    g_autofree char *path = NULL;

    g_signal_connect(f->server, "notify::vm-pid", G_CALLBACK(count), &n_vm);
    g_signal_connect(f->server, "notify::n-clients", G_CALLBACK(count), &n_clients);
    int vm = cvd_server_connect_vm(f->server, NULL);
    Client client = client_attach(f);
    g_object_get(f->server, "vm-pid", &vm_pid, "n-clients", &clients, "client-socket", &path,
                 "socket-mode", &mode, NULL);
    g_assert_cmpint(vm_pid, ==, getpid());
    g_assert_cmpuint(clients, ==, 1);
    g_assert_cmpstr(path, ==, f->client_socket);
    g_assert_cmpuint(mode, ==, 0600);
    g_assert_cmpuint(n_vm, ==, 1);
    g_assert_cmpuint(n_clients, ==, 1);

    client_clear(&client);
    cvd_server_disconnect_vm(f->server);
    cvd_close_fd(&vm);
    test_iterate_until(f->context, n_clients == 2);
    g_assert_cmpuint(n_vm, ==, 2);
    g_assert_cmpint(cvd_server_get_vm_pid(f->server), ==, 0);
}

static void test_properties_are_missing(void)
{
    g_autoptr(CvdServer) server = g_object_new(CVD_TYPE_SERVER, "vm-socket", "/nowhere", NULL);
    g_autoptr(GError) error = NULL;

    g_assert_false(cvd_server_start(server, &error));
    g_assert_error(error, CVD_ERROR, CVD_ERROR_INVALID);
}

static void test_version_reply(void)
{
    g_autoptr(Fixture) f = fixture_new();

    f->version_reply = "0x00000000";
    make_server(f);
    g_assert_true(cvd_server_start(f->server, NULL));
    cvd_autofd peer = test_connect(f->client_socket);
    test_send(peer, HELLO, strlen(HELLO), -1);
    test_expect(f->context, peer, "0x00000000");
}

static void test_limits_are_those_of_the_options(void)
{
    g_autoptr(Fixture) f = fixture_new();
    char byte;

    f->max_clients = 1;
    f->handshake_timeout_ms = 20;
    make_server(f);
    g_assert_true(cvd_server_start(f->server, NULL));
    Client client = client_attach(f);
    cvd_autofd second = test_connect(f->client_socket);
    test_send(second, HELLO, strlen(HELLO), -1);
    while (g_main_context_iteration(f->context, FALSE))
        ;
    g_assert_cmpint(recv(second, &byte, 1, MSG_DONTWAIT), ==, -1);
    client_clear(&client);
    test_expect(f->context, second, "PROTOCOL_VER 0");
    test_expect_end(f->context, second);
}

static void test_guest_reset(void)
{
    g_autoptr(Fixture) f = fixture_start();
    Vm vm = vm_attach(f);
    Client client = client_attach(f);
    const CvdLayoutRegion *region = &f->layout->regions[1];
    const guint32 mark = 0xfeedface;
    const off_t word =
        (off_t)region->begin + (off_t)region->guest_to_host.interrupt_signalled_offset;
    const off_t data = (off_t)region->begin + (off_t)region->data_offset;
    guint32 seen;

    g_assert_cmpint(pwrite(vm.window, &mark, sizeof mark, data), ==, sizeof mark);
    cvd_server_hold_clients(f->server);
    test_expect_end(NULL, client.socket);
    g_assert_cmpstr(f->events->str, ==, "V+ V! C+region1 C- ");
    Client again = client_begin(f);
    for (guint i = 0; i < 2; i++) { /* firmware resets a second time */
        g_assert_cmpint(pwrite(vm.window, &mark, sizeof mark, word), ==, sizeof mark);
        cvd_server_hold_clients(f->server);
        g_assert_true(cvd_server_clear_signals(f->server, NULL));
        g_assert_cmpint(pread(vm.window, &seen, sizeof seen, word), ==, sizeof seen);
        g_assert_cmpuint(seen, ==, 0);
        test_iterate_until(f->context, cvd_server_get_n_clients(f->server) == 1);
    }
    g_assert_cmpint(pread(vm.window, &seen, sizeof seen, data), ==, sizeof seen);
    g_assert_cmpuint(seen, ==, mark);

    cvd_server_admit_clients(f->server);
    client_finish(f, &again);
    g_assert_true(test_is_doorbell(vm.guest_to_host[1], again.guest_to_host));
    client_clear(&client);
    client_clear(&again);
    vm_clear(&vm);
}

static void test_renew(void)
{
    g_autoptr(Fixture) f = fixture_start();
    g_autoptr(GError) error = NULL;
    Vm vm = vm_attach(f);
    Client client = client_attach(f);
    const guint64 ring = 1;
    const guint32 mark = 0xfeedface;
    guint32 seen;
    guint64 rings;

    g_assert_false(cvd_server_renew(f->server, &error));
    g_assert_error(error, CVD_ERROR, CVD_ERROR_FAILED);
    g_assert_cmpuint(cvd_server_get_n_clients(f->server), ==, 1);

    g_assert_cmpint(pwrite(vm.window, &mark, sizeof mark, client.begin + 100), ==, sizeof mark);
    g_assert_cmpint(write(vm.guest_to_host[2], &ring, sizeof ring), ==, sizeof ring);
    vm_clear(&vm);
    test_iterate_until(f->context, g_str_has_suffix(f->events->str, "V- "));
    g_assert_true(cvd_server_renew(f->server, NULL));
    test_expect_end(NULL, client.socket);

    Vm next = vm_attach(f);
    g_assert_cmpint(pread(next.window, &seen, sizeof seen, client.begin + 100), ==, sizeof seen);
    g_assert_cmpuint(seen, ==, 0);
    g_assert_cmpint(read(next.guest_to_host[2], &rings, sizeof rings), ==, -1);
    g_assert_cmpint(errno, ==, EAGAIN);
    client_clear(&client);
    vm_clear(&next);
}

/* ---- When the guest is ready ---- */

#define READY_WORD 4092 /* the last of the descriptors' page */

static void set_word(const Vm *vm, guint32 value)
{
    value = GUINT32_TO_LE(value);
    g_assert_cmpint(pwrite(vm->window, &value, sizeof value, READY_WORD), ==, sizeof value);
}

static void ring_ready(const Vm *vm)
{
    const guint64 ring = 1;

    g_assert_cmpint(write(vm->ready, &ring, sizeof ring), ==, sizeof ring);
}

/* The server takes the ring, whatever it makes of it. */
static void ring_and_wait(Fixture *f, const Vm *vm)
{
    struct pollfd doorbell = {.fd = vm->ready, .events = POLLIN};

    ring_ready(vm);
    test_iterate_until(f->context, poll(&doorbell, 1, 0) == 0);
}

static void test_guest_ready(void)
{
    g_autoptr(Fixture) f = fixture_start_asking();
    Vm vm = vm_attach(f);

    ring_and_wait(f, &vm); /* and says nothing */
    set_word(&vm, 2);
    ring_and_wait(f, &vm);
    set_word(&vm, 0x01000000);
    ring_and_wait(f, &vm);
    g_assert_cmpstr(f->events->str, ==, "V+ V! ");
    set_word(&vm, 1);
    ring_and_wait(f, &vm);
    g_assert_cmpstr(f->events->str, ==, "V+ V! G! ");
    vm_clear(&vm);
    test_iterate_until(f->context, strcmp(f->events->str, "V+ V! G! V- ") == 0);
}

/* A guest cannot say so twice, nor take it back, and nobody listens to it any more. */
static void test_guest_toggles(void)
{
    g_autoptr(Fixture) f = fixture_start_asking();
    Vm vm = vm_attach(f);
    Client client = client_begin(f);

    for (guint i = 0; i < 1000; i++) {
        set_word(&vm, i % 3);
        ring_ready(&vm);
        g_main_context_iteration(f->context, FALSE);
    }
    set_word(&vm, 1);
    ring_ready(&vm);
    client_finish(f, &client);
    test_iterate_until(f->context, strstr(f->events->str, "G! ") != NULL);
    for (guint i = 0; i < 1000; i++) {
        set_word(&vm, i % 3);
        ring_ready(&vm);
        g_assert_false(g_main_context_pending(f->context));
    }
    g_assert_null(strstr(strstr(f->events->str, "G! ") + 1, "G! "));
    client_clear(&client);
    vm_clear(&vm);
}

/* What the guest before has said, or rung, is not the new guest's. */
static void test_ready_again(void)
{
    g_autoptr(Fixture) f = fixture_start_asking();
    Vm vm = vm_attach(f);

    set_word(&vm, 1);
    ring_and_wait(f, &vm);
    g_assert_true(cvd_server_clear_signals(f->server, NULL));
    g_assert_false(g_main_context_pending(f->context));
    ring_and_wait(f, &vm); /* the word was cleared */
    g_assert_cmpstr(f->events->str, ==, "V+ V! G! ");
    set_word(&vm, 1);
    ring_and_wait(f, &vm);
    g_assert_cmpstr(f->events->str, ==, "V+ V! G! G! ");

    g_string_truncate(f->events, 0);
    ring_ready(&vm);
    vm_clear(&vm);
    test_iterate_until(f->context, strcmp(f->events->str, "V- ") == 0);
    g_assert_true(cvd_server_renew(f->server, NULL));
    vm = vm_attach(f);
    ring_and_wait(f, &vm);
    g_assert_cmpstr(f->events->str, ==, "V- V+ V! ");
    set_word(&vm, 1);
    ring_and_wait(f, &vm);
    g_assert_cmpstr(f->events->str, ==, "V- V+ V! G! ");
    vm_clear(&vm);
}

/* A new guest may say so before the old one's tables are cleared: who rings again is another. */
static void test_ready_before_the_tables_are_cleared(void)
{
    g_autoptr(Fixture) f = fixture_start_asking();
    Vm vm = vm_attach(f);

    set_word(&vm, 1);
    ring_and_wait(f, &vm);
    set_word(&vm, 1);
    ring_ready(&vm);
    g_assert_false(g_main_context_pending(f->context));
    g_assert_true(cvd_server_clear_signals(f->server, NULL));
    g_assert_cmpstr(f->events->str, ==, "V+ V! G! G! ");
    set_word(&vm, 1);
    ring_ready(&vm);
    g_assert_false(g_main_context_pending(f->context));
    vm_clear(&vm);
}

/* A VM that has closed its connection can still ring. */
static void test_ready_after_the_end(void)
{
    g_autoptr(Fixture) f = fixture_start_asking();
    Vm vm = vm_attach(f);

    cvd_close_fd(&vm.socket);
    test_iterate_until(f->context, strcmp(f->events->str, "V+ V! V- ") == 0);
    set_word(&vm, 1);
    ring_ready(&vm);
    g_assert_false(g_main_context_pending(f->context));
    vm_clear(&vm);
}

static void test_last_reference_goes_when_ready(void)
{
    guint n_fds = test_count_fds();
    {
        g_autoptr(Fixture) f = fixture_start_asking();
        Vm vm = vm_attach(f);

        f->unref_when_ready = TRUE;
        set_word(&vm, 1);
        ring_ready(&vm);
        test_iterate_until(f->context, f->server == NULL);
        g_assert_cmpstr(f->events->str, ==, "V+ V! G! V- ");
        vm_clear(&vm);
    }
    g_assert_cmpuint(test_count_fds(), ==, n_fds);
}

/* ---- A VM that was saved ---- */

/* Returns: what the window of a VM held whose guest was ready, with a mark in the last region */
static int make_content(const Fixture *f, guint64 mark)
{
    cvd_autofd fd = test_window_new(f->layout);
    const guint32 ready = GUINT32_TO_LE(1);

    g_assert_cmpint(pwrite(fd, &ready, sizeof ready, READY_WORD), ==, sizeof ready);
    g_assert_cmpint(pwrite(fd, &mark, sizeof mark, f->layout->regions[2].end - 8), ==, 8);
    return g_steal_fd(&fd);
}

static guint64 read_mark(const Fixture *f, const Vm *vm)
{
    guint64 mark;

    g_assert_cmpint(pread(vm->window, &mark, sizeof mark, f->layout->regions[2].end - 8), ==, 8);
    return mark;
}

static void detach(Fixture *f, Vm *vm)
{
    vm_clear(vm);
    test_iterate_until(f->context, g_str_has_suffix(f->events->str, "V- "));
    g_string_truncate(f->events, 0);
}

/* Each new VM finds it, and that the guest is ready; one that was reset says so again. */
static void test_content(void)
{
    g_autoptr(Fixture) f = fixture_new();
    cvd_autofd content = make_content(f, 4711);

    f->asks_ready = TRUE;
    make_server(f);
    g_assert_true(cvd_server_set_content(f->server, content, NULL));
    cvd_close_fd(&content);
    g_assert_true(cvd_server_start(f->server, NULL));
    for (guint i = 0; i < 2; i++) {
        Vm vm = vm_attach(f);
        g_assert_cmpuint(read_mark(f, &vm), ==, 4711);
        g_assert_cmpstr(f->events->str, ==, "V+ G! V! ");
        g_assert_true(cvd_server_clear_signals(f->server, NULL));
        set_word(&vm, 1);
        ring_and_wait(f, &vm);
        g_assert_cmpstr(f->events->str, ==, "V+ G! V! G! ");
        detach(f, &vm);
        g_assert_true(cvd_server_renew(f->server, NULL));
    }
    g_assert_true(cvd_server_set_content(f->server, -1, NULL));
    g_assert_true(cvd_server_renew(f->server, NULL));
    Vm vm = vm_attach(f);
    g_assert_cmpuint(read_mark(f, &vm), ==, 0);
    g_assert_cmpstr(f->events->str, ==, "V+ V! ");
    vm_clear(&vm);
}

/* Of a server that nobody has asked to hear of the guest. */
static void test_content_of_a_ready_guest(void)
{
    g_autoptr(Fixture) f = fixture_new();
    cvd_autofd content = make_content(f, 1);

    make_server(f);
    g_assert_true(cvd_server_set_content(f->server, content, NULL));
    g_assert_true(cvd_server_start(f->server, NULL));
    Vm vm = vm_attach(f);
    g_assert_cmpstr(f->events->str, ==, "V+ V! ");
    vm_clear(&vm);
}

static void test_content_of_another_layout(void)
{
    g_autoptr(Fixture) f = fixture_new();
    cvd_autofd content = make_content(f, 1);
    g_autoptr(GError) error = NULL;

    g_assert_no_errno(ftruncate(content, 4096));
    make_server(f);
    g_assert_true(cvd_server_set_content(f->server, content, NULL));
    g_assert_false(cvd_server_start(f->server, &error));
    g_assert_error(error, CVD_ERROR, CVD_ERROR_INVALID);
    g_clear_error(&error);
    g_assert_cmpint(access(f->vm_socket, F_OK), ==, -1);

    g_assert_true(cvd_server_set_content(f->server, -1, NULL));
    g_assert_true(cvd_server_start(f->server, NULL));
    g_assert_true(cvd_server_set_content(f->server, content, NULL));
    g_assert_false(cvd_server_renew(f->server, &error));
    g_assert_error(error, CVD_ERROR, CVD_ERROR_INVALID);
}

typedef enum {
    NOBODY_RINGS = 0,
    GUEST_IS_RUNG = 1 << 0,
    HOST_IS_RUNG = 1 << 1,
} Pending;

static Pending get_pending(Fixture *f, guint region)
{
    gboolean to_guest, to_host;

    cvd_server_get_pending(f->server, region, &to_guest, &to_host);
    return (to_guest ? GUEST_IS_RUNG : 0) | (to_host ? HOST_IS_RUNG : 0);
}

static gboolean ring_one(Fixture *f, guint region, gboolean to_guest)
{
    return cvd_server_ring(f->server, &region, 1, to_guest, NULL);
}

/* Asking takes nothing; and what is rung again is what was rung. @with_trace: there are twice as
 * many doorbells, and those who ring have others than those who wait. */
static void check_pending(gboolean with_trace)
{
    g_autoptr(Fixture) f = fixture_new();
    const guint64 ring = 1;
    guint64 count;

    if (with_trace)
        f->trace = g_build_filename(f->dir, "trace", NULL);
    start_server(f);
    Vm vm = vm_attach(f);
    Client client = client_attach(f); /* of region 1 */
    g_assert_cmpint(get_pending(f, 1), ==, NOBODY_RINGS);
    g_assert_cmpint(write(client.host_to_guest, &ring, sizeof ring), ==, sizeof ring);
    for (guint i = 0; i < 3; i++) {
        g_assert_cmpint(get_pending(f, 0), ==, NOBODY_RINGS);
        g_assert_cmpint(get_pending(f, 1), ==, GUEST_IS_RUNG);
        while (g_main_context_iteration(f->context, FALSE))
            ;
    }
    g_assert_cmpint(write(vm.guest_to_host[1], &ring, sizeof ring), ==, sizeof ring);
    for (guint i = 0; i < 3; i++) {
        g_assert_cmpint(get_pending(f, 1), ==, GUEST_IS_RUNG | HOST_IS_RUNG);
        while (g_main_context_iteration(f->context, FALSE))
            ;
    }
    g_assert_cmpint(read(vm.host_to_guest[1], &count, sizeof count), ==, sizeof count);
    g_assert_cmpint(get_pending(f, 1), ==, HOST_IS_RUNG);
    g_assert_cmpint(read(client.guest_to_host, &count, sizeof count), ==, sizeof count);
    g_assert_cmpint(get_pending(f, 1), ==, NOBODY_RINGS);

    g_assert_true(ring_one(f, 1, TRUE));
    g_assert_cmpint(get_pending(f, 1), ==, GUEST_IS_RUNG);
    g_assert_cmpint(read(vm.host_to_guest[1], &count, sizeof count), ==, sizeof count);
    g_assert_true(ring_one(f, 1, FALSE));
    g_assert_cmpint(get_pending(f, 1), ==, HOST_IS_RUNG);
    g_assert_cmpint(read(client.guest_to_host, &count, sizeof count), ==, sizeof count);
    while (g_main_context_iteration(f->context, FALSE))
        ;
    g_assert_cmpint(get_pending(f, 1), ==, NOBODY_RINGS);
    client_clear(&client);
    vm_clear(&vm);
}

static void test_pending(void)
{
    check_pending(FALSE);
    check_pending(TRUE);
}

/* Who was signalled and has not looked, whether its doorbell's ring was taken or not. */
static void test_pending_by_word(void)
{
    g_autoptr(Fixture) f = fixture_start();
    Vm vm = vm_attach(f);
    const CvdLayoutRegion *region = &f->layout->regions[2];
    const guint32 one = GUINT32_TO_LE(1);

    g_assert_cmpint(pwrite(vm.window, &one, sizeof one,
                           region->begin + region->host_to_guest.interrupt_signalled_offset),
                    ==, sizeof one);
    g_assert_cmpint(get_pending(f, 2), ==, GUEST_IS_RUNG);
    g_assert_cmpint(pwrite(vm.window, &one, sizeof one,
                           region->begin + region->guest_to_host.interrupt_signalled_offset),
                    ==, sizeof one);
    g_assert_cmpint(get_pending(f, 2), ==, GUEST_IS_RUNG | HOST_IS_RUNG);
    g_assert_cmpint(get_pending(f, 1), ==, NOBODY_RINGS);
    vm_clear(&vm);
}

/* Whoever holds a doorbell can fill its counter and have writers wait for ever. */
static void test_ring_does_not_block(void)
{
    g_autoptr(Fixture) f = fixture_start();
    Vm vm = vm_attach(f);
    const guint64 full = G_MAXUINT64 - 1;

    g_assert_cmpint(write(vm.host_to_guest[0], &full, sizeof full), ==, sizeof full);
    g_assert_no_errno(fcntl(vm.host_to_guest[0], F_SETFL, 0));
    g_assert_true(ring_one(f, 0, TRUE));
    g_assert_cmpint(get_pending(f, 0), ==, GUEST_IS_RUNG);
    vm_clear(&vm);
}

/* The main loop does not wait for the kernel once for each. */
static void test_ring_many(void)
{
    g_autoptr(Fixture) f = fixture_new();
    guint regions[64];
    struct rusage usage;

    cvd_layout_unref(f->layout);
    f->layout = test_layout_new(G_N_ELEMENTS(regions));
    start_server(f);
    for (guint i = 0; i < 8; i++)
        g_assert_true(ring_one(f, i, TRUE));
    for (guint i = 0; i < G_N_ELEMENTS(regions); i++)
        regions[i] = i;
    g_assert_no_errno(getrusage(RUSAGE_THREAD, &usage));
    long n_waits = usage.ru_nvcsw;
    g_assert_true(cvd_server_ring(f->server, regions, G_N_ELEMENTS(regions), FALSE, NULL));
    g_assert_no_errno(getrusage(RUSAGE_THREAD, &usage));
    g_assert_cmpint(usage.ru_nvcsw - n_waits, <, G_N_ELEMENTS(regions) / 2);
    for (guint i = 0; i < G_N_ELEMENTS(regions); i++)
        g_assert_cmpint(get_pending(f, i), ==, (i < 8 ? GUEST_IS_RUNG : 0) | HOST_IS_RUNG);
    g_assert_true(cvd_server_ring(f->server, NULL, 0, TRUE, NULL));
}

/* With 68 regions the descriptors fill their page: 16 + 68 × 60 = 4096. */
static void test_no_place_for_ready(void)
{
    static const guint n_regions[] = {67, 68, 69};

    for (guint i = 0; i < G_N_ELEMENTS(n_regions); i++) {
        g_autoptr(Fixture) f = fixture_new();
        g_autoptr(GError) error = NULL;

        cvd_layout_unref(f->layout);
        f->layout = test_layout_new(n_regions[i]);
        f->asks_ready = TRUE;
        make_server(f);
        g_assert_true(cvd_server_start(f->server, &error) == (n_regions[i] != 68));
        if (n_regions[i] != 68)
            continue;
        g_assert_error(error, CVD_ERROR, CVD_ERROR_INVALID);
        g_assert_nonnull(strstr(error->message, "the layout's 68 regions"));
        g_assert_cmpint(access(f->vm_socket, F_OK), ==, -1);
    }
}

/* Who was held before a renewal is held after it; else clients come again at once. */
static void test_renew_while_held(void)
{
    g_autoptr(Fixture) f = fixture_start();
    char byte;

    cvd_server_hold_clients(f->server);
    Client client = client_begin(f);
    g_assert_true(cvd_server_renew(f->server, NULL));
    test_iterate_until(f->context, cvd_server_get_n_clients(f->server) == 1);
    g_assert_cmpint(recv(client.socket, &byte, 1, MSG_DONTWAIT), ==, -1);
    cvd_server_admit_clients(f->server);
    client_finish(f, &client);
    g_assert_true(cvd_server_renew(f->server, NULL));
    test_expect_end(NULL, client.socket);
    Client again = client_attach(f);
    client_clear(&client);
    client_clear(&again);
}

static void test_held_clients_of_a_stopped_server(void)
{
    g_autoptr(Fixture) f = fixture_start();
    g_autoptr(GError) error = NULL;
    Client client = client_begin(f);

    cvd_server_hold_clients(f->server);
    test_iterate_until(f->context, cvd_server_get_n_clients(f->server) == 1);
    cvd_server_stop(f->server);
    test_expect_end(NULL, client.socket);
    cvd_server_hold_clients(f->server);
    g_assert_false(cvd_server_clear_signals(f->server, &error));
    g_assert_error(error, CVD_ERROR, CVD_ERROR_FAILED);
    cvd_server_admit_clients(f->server);
    client_clear(&client);
}

static void test_stop_closes_all(void)
{
    g_autoptr(Fixture) f = fixture_start();
    Vm vm = vm_attach(f);
    Client client = client_attach(f);
    cvd_autofd silent = test_connect(f->client_socket);
    cvd_autofd late = test_connect(f->client_socket);

    test_send(silent, HELLO, strlen(HELLO), -1);
    test_expect(f->context, silent, "PROTOCOL_VER 0");
    g_assert_cmpint(late, >=, 0);
    cvd_server_stop(f->server);
    test_expect_end(NULL, client.socket);
    test_expect_end(NULL, silent);
    test_expect_end(NULL, vm.socket);
    g_assert_cmpstr(f->events->str, ==, "V+ V! C+region1 C- V- ");
    client_clear(&client);
    vm_clear(&vm);
}

/* A handler that always renews is called by a stop too, when there is nothing to renew. */
static void test_renew_in_a_handler(void)
{
    g_autoptr(Fixture) f = fixture_start();
    Vm vm = vm_attach(f);

    f->renew_when_detached = TRUE;
    vm_clear(&vm);
    test_iterate_until(f->context, strstr(f->events->str, "V- renewed ") != NULL);
    vm = vm_attach(f);
    cvd_server_stop(f->server);
    test_expect_end(NULL, vm.socket);
    g_assert_true(g_str_has_suffix(f->events->str, "V- not-renewed "));
    vm_clear(&vm);
}

/* A stop goes on with a server whose last owner lets go of it meanwhile. */
static void test_last_reference_goes_in_a_stop(void)
{
    g_autoptr(Fixture) f = fixture_start();
    Vm vm = vm_attach(f);

    f->unref_when_detached = TRUE;
    cvd_server_stop(f->server);
    g_assert_null(f->server);
    test_expect_end(NULL, vm.socket);
    g_assert_cmpint(access(f->vm_socket, F_OK), ==, -1);
    vm_clear(&vm);
}

static void test_stopped_by_a_handler(void)
{
    g_autoptr(Fixture) f = fixture_start();
    Client client = client_begin(f);

    f->stop_when_attached = TRUE;
    client_finish(f, &client);
    test_expect_end(NULL, client.socket);
    g_assert_cmpstr(f->events->str, ==, "C+region1 C- ");
    client_clear(&client);
}

static void test_last_reference_goes_in_a_handler(void)
{
    g_autoptr(Fixture) f = fixture_start();
    Client client = client_begin(f);

    f->unref_when_attached = TRUE;
    test_iterate_until(f->context, f->server == NULL);
    test_expect(NULL, client.socket, "PROTOCOL_VER 0");
    hear_region(f, &client);
    test_expect_end(NULL, client.socket);
    g_assert_cmpint(access(f->client_socket, F_OK), ==, -1);
    client_clear(&client);
}

/* A cleaner of /tmp, or a stranger with the right to write there: the next VM comes all the same.
 */
static void test_path_is_anothers(void)
{
    g_autoptr(Fixture) f = fixture_start();

    g_assert_cmpint(g_unlink(f->vm_socket), ==, 0);
    cvd_autofd stranger = test_listen(f->vm_socket);
    for (guint i = 0; i < 2; i++) {
        Vm vm = vm_attach(f);
        g_assert_cmpint(cvd_server_connect_vm(f->server, NULL), ==, -1); /* while there is one */
        vm_clear(&vm);
        test_iterate_until(f->context, g_str_has_suffix(f->events->str, "V- "));
    }
    g_assert_cmpint(accept(stranger, NULL, NULL), ==, -1);
    g_assert_cmpint(g_unlink(f->vm_socket), ==, 0);
}

static void test_fd_for_the_vm_is_blocking_and_close_on_exec(void)
{
    g_autoptr(Fixture) f = fixture_start();
    cvd_autofd fd = cvd_server_connect_vm(f->server, NULL);

    g_assert_cmpint(fcntl(fd, F_GETFL) & O_NONBLOCK, ==, 0);
    g_assert_cmpint(fcntl(fd, F_GETFD) & FD_CLOEXEC, ==, FD_CLOEXEC);
}

/* ---- Trace ---- */

static Fixture *fixture_trace(void)
{
    Fixture *f = fixture_new();
    GError *error = NULL;

    f->trace = g_build_filename(f->dir, "trace", NULL);
    make_server(f);
    g_assert_true(cvd_server_start(f->server, &error));
    g_assert_no_error(error);
    return f;
}

static void run_loop(Fixture *f)
{
    while (g_main_context_iteration(f->context, FALSE))
        ;
}

static void assert_rings(Fixture *f, guint region, guint64 to_guest, guint64 to_host)
{
    guint64 found_to_guest, found_to_host;

    g_assert_true(cvd_server_get_rings(f->server, region, &found_to_guest, &found_to_host));
    g_assert_cmpuint(found_to_guest, ==, to_guest);
    g_assert_cmpuint(found_to_host, ==, to_host);
}

/* Rings go through the server, to whom they are meant for. */
static void test_trace(void)
{
    g_autoptr(Fixture) f = fixture_trace();
    Vm vm = vm_attach(f);
    Client client = client_attach(f);

    g_assert_cmpint(eventfd_write(client.host_to_guest, 1), ==, 0);
    g_assert_false(cvd_doorbell_take(vm.host_to_guest[1]));
    run_loop(f);
    g_assert_true(cvd_doorbell_take(vm.host_to_guest[1]));
    for (guint i = 0; i < 2; i++)
        g_assert_cmpint(eventfd_write(vm.guest_to_host[1], 1), ==, 0);
    run_loop(f);
    g_assert_true(cvd_doorbell_take(client.guest_to_host));
    assert_rings(f, 1, 1, 2);
    assert_rings(f, 0, 0, 0);
    vm_clear(&vm);
    client_clear(&client);
}

/* Who may only read neither rings nor hears, and is no part of the trace. */
static void test_trace_and_reader(void)
{
    const CvdAccessRule rules[] = {{CVD_SUBJECT_EVERYBODY, 0, NULL, CVD_ACCESS_READ_ONLY}};
    g_autoptr(Fixture) f = fixture_new();
    g_autoptr(CvdAccessRules) list = cvd_access_rules_new(rules, 1);

    f->trace = g_build_filename(f->dir, "trace", NULL);
    f->access = list;
    make_server(f);
    g_assert_true(cvd_server_start(f->server, NULL));
    Vm vm = vm_attach(f);
    Client client = client_attach(f);
    g_assert_cmpint(eventfd_write(client.host_to_guest, 1), ==, 0);
    g_assert_cmpint(eventfd_write(vm.guest_to_host[1], 1), ==, 0);
    run_loop(f);
    g_assert_false(cvd_doorbell_take(vm.host_to_guest[1]));
    g_assert_false(cvd_doorbell_take(client.guest_to_host));
    assert_rings(f, 1, 0, 1);
    vm_clear(&vm);
    client_clear(&client);
}

/* The next VM finds no ring of before, but what was rung is counted. */
static void test_trace_and_renewal(void)
{
    g_autoptr(Fixture) f = fixture_trace();
    Vm vm = vm_attach(f);
    Client client = client_attach(f);

    g_assert_cmpint(eventfd_write(client.host_to_guest, 1), ==, 0);
    run_loop(f);
    vm_clear(&vm);
    test_iterate_until(f->context, g_str_has_suffix(f->events->str, "V- "));
    g_assert_cmpint(eventfd_write(client.host_to_guest, 1), ==, 0);
    g_assert_true(cvd_server_renew(f->server, NULL));
    assert_rings(f, 1, 2, 0);
    client_clear(&client);

    vm = vm_attach(f);
    client = client_attach(f);
    run_loop(f);
    g_assert_false(cvd_doorbell_take(vm.host_to_guest[1]));
    g_assert_cmpint(eventfd_write(vm.guest_to_host[1], 1), ==, 0);
    run_loop(f);
    g_assert_true(cvd_doorbell_take(client.guest_to_host));
    assert_rings(f, 1, 2, 1);
    g_assert_true(cvd_server_clear_signals(f->server, NULL));
    vm_clear(&vm);
    client_clear(&client);
}

/* The client of one server has gone; the file is as it was, and so is all else. */
static void test_trace_cannot_be_written(void)
{
    guint n_fds = test_count_fds();
    g_autoptr(Fixture) f = fixture_new();
    g_autoptr(GError) error = NULL;

    f->trace = g_build_filename(f->dir, "trace", NULL);
    g_assert_true(g_file_set_contents(f->trace, "mine", -1, NULL));
    make_server(f);
    g_assert_false(cvd_server_listen(f->server, &error));
    g_assert_error(error, CVD_ERROR, CVD_ERROR_FOREIGN);
    g_assert_cmpint(access(f->vm_socket, F_OK), ==, -1);
    g_assert_cmpuint(test_count_fds(), ==, n_fds + 1); /* the context's */
}

static void test_no_trace(void)
{
    g_autoptr(Fixture) f = fixture_start();
    guint64 to_guest = 7, to_host = 7;

    g_assert_false(cvd_server_get_rings(f->server, 0, &to_guest, &to_host));
    g_assert_cmpuint(to_guest + to_host, ==, 0);
}

static void test_trace_leaves_no_descriptor(void)
{
    guint n_fds = test_count_fds();
    g_autoptr(Fixture) f = fixture_trace();

    g_clear_object(&f->server);
    g_assert_cmpuint(test_count_fds(), ==, n_fds + 1); /* the context's */
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_log_capture();
    g_test_add_func("/server/clients", test_clients);
    g_test_add_func("/server/start-and-stop", test_start_and_stop);
    g_test_add_func("/server/no-descriptor-is-left", test_no_descriptor_is_left);
    g_test_add_func("/server/limit-of-descriptors", test_limit_of_descriptors);
    g_test_add_func("/server/start-fails", test_start_fails);
    g_test_add_func("/server/listens-first", test_listens_first);
    g_test_add_func("/server/stops-while-listening", test_stops_while_listening);
    g_test_add_func("/server/vm-and-client-meet", test_vm_and_client_meet);
    g_test_add_func("/server/client-before-the-vm", test_client_before_the_vm);
    g_test_add_func("/server/legacy-client", test_legacy_client);
    g_test_add_func("/server/properties", test_properties);
    g_test_add_func("/server/properties-are-missing", test_properties_are_missing);
    g_test_add_func("/server/version-reply", test_version_reply);
    g_test_add_func("/server/limits-are-those-of-the-options",
                    test_limits_are_those_of_the_options);
    g_test_add_func("/server/guest-reset", test_guest_reset);
    g_test_add_func("/server/renew", test_renew);
    g_test_add_func("/server/guest-ready", test_guest_ready);
    g_test_add_func("/server/guest-toggles", test_guest_toggles);
    g_test_add_func("/server/ready-again", test_ready_again);
    g_test_add_func("/server/ready-before-the-tables-are-cleared",
                    test_ready_before_the_tables_are_cleared);
    g_test_add_func("/server/ready-after-the-end", test_ready_after_the_end);
    g_test_add_func("/server/last-reference-goes-when-ready", test_last_reference_goes_when_ready);
    g_test_add_func("/server/no-place-for-ready", test_no_place_for_ready);
    g_test_add_func("/server/content", test_content);
    g_test_add_func("/server/content-of-a-ready-guest", test_content_of_a_ready_guest);
    g_test_add_func("/server/content-of-another-layout", test_content_of_another_layout);
    g_test_add_func("/server/pending", test_pending);
    g_test_add_func("/server/pending-by-word", test_pending_by_word);
    g_test_add_func("/server/ring-does-not-block", test_ring_does_not_block);
    g_test_add_func("/server/ring-many", test_ring_many);
    g_test_add_func("/server/renew-while-held", test_renew_while_held);
    g_test_add_func("/server/held-clients-of-a-stopped-server",
                    test_held_clients_of_a_stopped_server);
    g_test_add_func("/server/stop-closes-all", test_stop_closes_all);
    g_test_add_func("/server/renew-in-a-handler", test_renew_in_a_handler);
    g_test_add_func("/server/last-reference-goes-in-a-stop", test_last_reference_goes_in_a_stop);
    g_test_add_func("/server/stopped-by-a-handler", test_stopped_by_a_handler);
    g_test_add_func("/server/last-reference-goes-in-a-handler",
                    test_last_reference_goes_in_a_handler);
    g_test_add_func("/server/vm-socket-is-anothers-by-now", test_path_is_anothers);
    g_test_add_func("/server/fd-for-the-vm-is-blocking-and-close-on-exec",
                    test_fd_for_the_vm_is_blocking_and_close_on_exec);
    g_test_add_func("/server/trace", test_trace);
    g_test_add_func("/server/trace-and-reader", test_trace_and_reader);
    g_test_add_func("/server/trace-and-renewal", test_trace_and_renewal);
    g_test_add_func("/server/trace-cannot-be-written", test_trace_cannot_be_written);
    g_test_add_func("/server/trace-leaves-no-descriptor", test_trace_leaves_no_descriptor);
    g_test_add_func("/server/no-trace", test_no_trace);
    return g_test_run();
}
