/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/qemu/vm.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/source.h"
#include "launcher/config/cpus.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

static gboolean make_socket_pair(int *ours, int *theirs, GError **error)
{
    const int buffer_size = CVD_STREAM_BUFFER_SIZE;
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno,
                                   "cannot make a socket pair for QEMU");
    setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &buffer_size, sizeof buffer_size);
    *ours = pair[0];
    *theirs = pair[1];
    return TRUE;
}

/* Whoever greets is QEMU, whatever was started as such. */
static gboolean on_greeting(int fd, GIOCondition condition, gpointer data)
{
    CvdVm *vm = data;

    cvd_source_clear(&vm->greeting);
    cvd_qemu_process_set_qemu(vm->process, cvd_socket_peek_sender(fd));
    cvd_close_fd(&vm->greeting_fd);
    return G_SOURCE_REMOVE;
}

/* Before QMP reads it. */
static void watch_greeting(CvdVm *vm, int qmp)
{
    vm->greeting_fd = fcntl(qmp, F_DUPFD_CLOEXEC, 0);
    if (vm->greeting_fd < 0)
        return;
    cvd_socket_watch_sender(qmp);
    vm->greeting = cvd_source_watch_fd(vm->greeting_fd, G_IO_IN, on_greeting, vm);
    g_source_set_priority(vm->greeting, G_PRIORITY_HIGH);
}

/* Its last event and its last output say why. */
static void on_exited(CvdExit how, gpointer data)
{
    CvdVm *vm = data;

    cvd_qmp_read_rest(vm->qmp);
    cvd_console_read_rest(vm->output);
    if (vm->console != NULL)
        cvd_console_read_rest(vm->console);
    vm->handlers.exited(how, vm->user_data);
}

/* The ends of the channels: ours go into the VM, QEMU's are for it to inherit. */
static gboolean spawn(CvdVm *vm, const CvdVmResources *resources, GError **error)
{
    cvd_autofd qmp = -1, qemu_qmp = -1, serial = -1, qemu_serial = -1;
    cvd_autofd output = -1, qemu_output = -1;

    if (!make_socket_pair(&qmp, &qemu_qmp, error) ||
        !make_socket_pair(&output, &qemu_output, error) ||
        (vm->console != NULL && !make_socket_pair(&serial, &qemu_serial, error)))
        return FALSE;

    g_autoptr(GArray) others = g_array_new(FALSE, FALSE, sizeof(int));
    g_array_append_vals(others, resources->fds, resources->n_fds);
    g_array_append_vals(others, resources->disk_fds, resources->origin.n_fds);
    watch_greeting(vm, qmp);
    const CvdCpus *cpus = &vm->config->qemu.cpus;
    CvdProcessors processors = {0};
    if (cpus->pin != NULL)
        processors = cvd_cpus_get_all(cpus);
    CvdQemuFds fds = {
        .ivshmem = resources->ivshmem_fd,
        .qmp = qemu_qmp,
        .serial = qemu_serial,
        .ram = resources->ram_fd,
        .others = (const int *)(gpointer)others->data,
        .n_others = others->len,
        .output = qemu_output,
        /* It may have been removed since. */
        .directory = g_file_test(vm->config->qemu.directory, G_FILE_TEST_IS_DIR)
                         ? vm->config->qemu.directory
                         : NULL,
        .processors = cpus->pin != NULL ? &processors : NULL,
        .cgroup_fd = resources->cgroup_fd,
        .n_received = 2 * vm->config->layout->n_regions + 1,
    };
    vm->process = cvd_qemu_process_spawn(resources->children, vm->argv, &fds,
                                         vm->config->qemu.run_as, on_exited, vm, error);
    if (vm->process == NULL)
        return FALSE;
    vm->qmp = cvd_qmp_new(g_steal_fd(&qmp), &vm->handlers.qmp, vm->user_data);
    vm->qmp_streams = cvd_qmp_streams_new(vm->qmp);
    cvd_console_take_vm(vm->output, g_steal_fd(&output));
    if (vm->console != NULL)
        cvd_console_take_vm(vm->console, g_steal_fd(&serial));
    return TRUE;
}

static char **build_command(const CvdConfig *config, const CvdQemuTools *tools,
                            const CvdVmResources *resources)
{
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", CVD_QEMU_RAM_FD);
    CvdQemuOrigin origin = resources->origin;

    if (resources->ram_fd >= 0)
        origin.ram_path = path;
    origin.first_fd = CVD_QEMU_FIRST_SOCKET_FD + (int)resources->n_fds;
    return cvd_qemu_command(config, tools, NULL, &origin);
}

CvdVm *cvd_vm_start(const CvdConfig *config, const CvdQemuTools *tools,
                    const CvdVmResources *resources, const CvdVmHandlers *handlers,
                    gpointer user_data, GError **error)
{
    g_autoptr(CvdVm) vm = g_new0(CvdVm, 1);

    vm->config = config;
    vm->greeting_fd = -1;
    vm->handlers = *handlers;
    vm->user_data = user_data;
    vm->output = resources->output;
    vm->console = resources->console;
    vm->argv = build_command(config, tools, resources);
    return spawn(vm, resources, error) ? g_steal_pointer(&vm) : NULL;
}

void cvd_vm_free(CvdVm *vm)
{
    cvd_source_clear(&vm->greeting);
    cvd_close_fd(&vm->greeting_fd);
    g_clear_pointer(&vm->process, cvd_qemu_process_free);
    g_clear_pointer(&vm->qmp_streams, cvd_qmp_streams_free);
    g_clear_pointer(&vm->qmp, cvd_qmp_free);
    cvd_source_clear(&vm->heartbeat);
    g_strfreev(vm->argv);
    g_free(vm);
}

/* ---- Heartbeat ---- */

static gboolean on_heartbeat(gpointer data);

static void arm_heartbeat(CvdVm *vm)
{
    vm->heartbeat_us = g_get_monotonic_time() + vm->heartbeat_ms * G_TIME_SPAN_MILLISECOND;
    cvd_source_set_timer(&vm->heartbeat, vm->heartbeat_us, on_heartbeat, vm);
}

static void on_status(CvdJsonSpan result, const GError *error, gpointer data)
{
    CvdVm *vm = data;

    vm->is_heartbeat_asked = FALSE;
    if (error == NULL || g_error_matches(error, CVD_ERROR, CVD_ERROR_FAILED))
        arm_heartbeat(vm); /* an error of QEMU's is an answer, too */
}

/* Whoever was stopped and goes on finds its timers long due; QEMU was then perhaps stopped, too. */
static gboolean on_heartbeat(gpointer data)
{
    CvdVm *vm = data;
    gint64 late_us = g_get_monotonic_time() - vm->heartbeat_us;
    gboolean is_on_time = late_us <= vm->heartbeat_ms * G_TIME_SPAN_MILLISECOND / 2;

    cvd_qmp_read_rest(vm->qmp);
    if (is_on_time && cvd_qmp_is_overdue(vm->qmp, vm->heartbeat_ms)) {
        cvd_source_clear(&vm->heartbeat);
        vm->handlers.unresponsive(vm->user_data);
        return G_SOURCE_REMOVE;
    }
    if (!vm->is_heartbeat_asked) {
        vm->is_heartbeat_asked = TRUE;
        cvd_qmp_execute(vm->qmp, "query-status", NULL, on_status, vm);
    }
    arm_heartbeat(vm);
    return G_SOURCE_REMOVE;
}

void cvd_vm_start_heartbeat(CvdVm *vm, guint timeout_ms)
{
    vm->heartbeat_ms = timeout_ms;
    arm_heartbeat(vm);
}
