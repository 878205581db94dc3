/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hub: bytes of the VM go to the log and to every port, bytes of the ports go to the VM. A port
 * is a viewer's socket, or the launcher's own stdin and stdout. Each has a queue of what it has not
 * taken yet; one that is full loses what comes, and gets a line that says so when there is room
 * again. Input that the guest does not take stays in `to_vm`, and as long as something is in there
 * no port is read, only whether its viewer has left.
 */
#include "launcher/qemu/console.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/source.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define INPUT_SIZE 256
/* Of what a viewer has not taken, in bytes, the scroll-back included. */
#define MAX_QUEUE (4 * CVD_CONSOLE_SCROLL_BACK)

typedef struct {
    CvdConsole *console;
    int in_fd;  /* −1 = nothing comes from there */
    int out_fd; /* the same as `in_fd`, but for stdio */
    gboolean is_stdio;
    GSource *readable;
    GSource *writable; /* only while `queue` waits for room */
    GByteArray *queue; /* NULL while empty */
    guint64 n_lost;    /* bytes, not yet reported */
} Port;

struct CvdConsole {
    CvdLogFile *log;
    int vm_fd; /* −1 between VMs */
    GSource *vm_readable;
    GSource *vm_writable; /* only while `to_vm` waits for room */
    char to_vm[INPUT_SIZE];
    gsize n_to_vm;
    gboolean has_printed;
    gboolean has_stdio; /* among the ports, for good */
    GPtrArray *ports;
    void (*printed)(const char *bytes, gsize size, gpointer data); /* NULL: nobody listens */
    gpointer printed_data;
};

static void port_free(gpointer data)
{
    Port *port = data;

    cvd_source_clear(&port->readable);
    cvd_source_clear(&port->writable);
    if (port->out_fd != port->in_fd)
        cvd_close_fd(&port->out_fd);
    cvd_close_fd(&port->in_fd);
    g_clear_pointer(&port->queue, g_byte_array_unref);
    g_free(port);
}

static void drop(Port *port)
{
    g_ptr_array_remove_fast(port->console->ports, port);
}

/* ---- To a port ---- */

static gboolean on_port_writable(int fd, GIOCondition condition, gpointer data);

static void enqueue(Port *port, const char *bytes, gsize size)
{
    if (port->queue == NULL)
        port->queue = g_byte_array_new();
    g_byte_array_append(port->queue, (const guint8 *)bytes, (guint)size);
    if (port->writable == NULL)
        port->writable = cvd_source_watch_fd(port->out_fd, G_IO_OUT, on_port_writable, port);
}

static void report_loss(Port *port)
{
    g_autofree char *text = g_strdup_printf(
        "\r\n[cvd: %" G_GUINT64_FORMAT " bytes of output are lost]\r\n", port->n_lost);

    port->n_lost = 0;
    enqueue(port, text, strlen(text));
}

/* Returns: whether the port is still there */
static gboolean flush(Port *port)
{
    while (port->queue != NULL) {
        gssize n = cvd_fd_write_nowait(port->out_fd, port->queue->data, port->queue->len);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return TRUE;
        if (n < 0) {
            drop(port);
            return FALSE;
        }
        g_byte_array_remove_range(port->queue, 0, (guint)n);
        if (port->queue->len > 0)
            continue;
        g_clear_pointer(&port->queue, g_byte_array_unref);
        cvd_source_clear(&port->writable);
        if (port->n_lost > 0)
            report_loss(port);
    }
    return TRUE;
}

static gboolean on_port_writable(int fd, GIOCondition condition, gpointer data)
{
    flush(data);
    return G_SOURCE_CONTINUE;
}

/* Nothing waits for stdout: what it does not take at once is in the log. */
static void send_to_port(Port *port, const char *bytes, gsize size)
{
    if (port->is_stdio) {
        if (port->out_fd >= 0 && cvd_fd_write_nowait(port->out_fd, bytes, size) < 0)
            g_debug("output lost: %s", g_strerror(errno));
        return;
    }
    gsize n_queued = port->queue != NULL ? port->queue->len : 0;
    if (port->n_lost > 0 || n_queued + size > MAX_QUEUE) {
        port->n_lost += size;
        return;
    }
    enqueue(port, bytes, size);
}

/* ---- From the VM ---- */

static void close_vm(CvdConsole *console)
{
    cvd_source_clear(&console->vm_readable);
    cvd_source_clear(&console->vm_writable);
    cvd_close_fd(&console->vm_fd);
}

/* Returns: whether there may be more to read */
static gboolean read_vm(gpointer data)
{
    CvdConsole *console = data;
    char bytes[CVD_STREAM_READ_SIZE];
    gssize n = cvd_socket_receive(console->vm_fd, bytes, sizeof bytes, NULL, 0);

    if (n < 0 && errno == EAGAIN)
        return FALSE;
    if (n <= 0) {
        close_vm(console);
        return FALSE;
    }
    console->has_printed = TRUE;
    cvd_log_file_append(console->log, bytes, (gsize)n);
    for (guint i = 0; i < console->ports->len; i++)
        send_to_port(g_ptr_array_index(console->ports, i), bytes, (gsize)n);
    if (console->printed != NULL)
        console->printed(bytes, (gsize)n, console->printed_data);
    return TRUE;
}

/* ---- To the VM ---- */

static gboolean on_port_readable(int fd, GIOCondition condition, gpointer data);
static gboolean on_vm_writable(int fd, GIOCondition condition, gpointer data);

static gboolean on_viewer_gone(int fd, GIOCondition condition, gpointer data)
{
    drop(data);
    return G_SOURCE_REMOVE;
}

/* A viewer that leaves gives up its place, even while the guest takes nothing. */
static void listen_to_port(Port *port)
{
    cvd_source_clear(&port->readable);
    if (port->in_fd >= 0 && port->console->vm_writable == NULL)
        port->readable = cvd_source_watch_fd(port->in_fd, G_IO_IN, on_port_readable, port);
    else if (port->in_fd >= 0 && !port->is_stdio)
        port->readable = cvd_source_watch_fd(port->in_fd, G_IO_HUP, on_viewer_gone, port);
}

static void listen_to_ports(CvdConsole *console)
{
    for (guint i = 0; i < console->ports->len; i++)
        listen_to_port(g_ptr_array_index(console->ports, i));
}

/* Without a VM, or when it does not want any more, what was typed is dropped. */
static void flush_to_vm(CvdConsole *console)
{
    gssize n = cvd_socket_send(console->vm_fd, console->to_vm, console->n_to_vm, NULL, 0);

    if (n < 0 && errno != EAGAIN)
        n = (gssize)console->n_to_vm;
    if (n > 0) {
        console->n_to_vm -= (gsize)n;
        memmove(console->to_vm, console->to_vm + n, console->n_to_vm);
    }
    gboolean is_waiting = console->n_to_vm > 0;
    if (is_waiting == (console->vm_writable != NULL))
        return;
    cvd_source_clear(&console->vm_writable);
    if (is_waiting)
        console->vm_writable =
            cvd_source_watch_fd(console->vm_fd, G_IO_OUT, on_vm_writable, console);
    listen_to_ports(console);
}

static gboolean on_vm_writable(int fd, GIOCondition condition, gpointer data)
{
    flush_to_vm(data);
    return G_SOURCE_CONTINUE;
}

static gboolean on_port_readable(int fd, GIOCondition condition, gpointer data)
{
    Port *port = data;
    CvdConsole *console = port->console;
    gssize n = cvd_fd_read_nowait(fd, console->to_vm, sizeof console->to_vm);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return G_SOURCE_CONTINUE;
    if (n > 0) {
        console->n_to_vm = (gsize)n;
        flush_to_vm(console);
    } else if (port->is_stdio) { /* its end, or a background job that may not read the terminal */
        cvd_source_clear(&port->readable);
        cvd_close_fd(&port->in_fd);
    } else {
        drop(port);
    }
    return G_SOURCE_CONTINUE;
}

/* ---- Interface ---- */

CvdConsole *cvd_console_new(CvdLogFile *log)
{
    CvdConsole *console = g_new0(CvdConsole, 1);

    console->log = log;
    console->vm_fd = -1;
    console->ports = g_ptr_array_new_with_free_func(port_free);
    return console;
}

/* What the VM said last may be in the queues. */
void cvd_console_free(CvdConsole *console)
{
    for (guint i = console->ports->len; i > 0; i--)
        flush(g_ptr_array_index(console->ports, i - 1));
    g_ptr_array_unref(console->ports);
    close_vm(console);
    g_free(console);
}

void cvd_console_take_vm(CvdConsole *console, int take_fd)
{
    cvd_console_read_rest(console);
    close_vm(console);
    console->vm_fd = take_fd;
    console->has_printed = FALSE;
    console->vm_readable =
        cvd_source_watch_stream(take_fd, CVD_STREAM_INTERVAL_MS, read_vm, console);
    console->n_to_vm = 0;
    listen_to_ports(console);
}

void cvd_console_set_listener(CvdConsole *console,
                              void (*printed)(const char *bytes, gsize size, gpointer user_data),
                              gpointer user_data)
{
    console->printed = printed;
    console->printed_data = user_data;
}

gboolean cvd_console_has_printed(const CvdConsole *console)
{
    return console->has_printed;
}

void cvd_console_read_rest(CvdConsole *console)
{
    for (gsize n = 0; n < CVD_LOG_FILE_MAX_SIZE; n += CVD_STREAM_READ_SIZE)
        if (console->vm_fd < 0 || !read_vm(console))
            break;
}

static Port *add_port(CvdConsole *console, int take_in_fd, int take_out_fd, gboolean is_stdio)
{
    Port *port = g_new0(Port, 1);

    port->console = console;
    port->is_stdio = is_stdio;
    port->in_fd = take_in_fd;
    port->out_fd = take_out_fd;
    g_ptr_array_add(console->ports, port);
    listen_to_port(port);
    return port;
}

void cvd_console_relay_stdio(CvdConsole *console)
{
    int out_fd = cvd_fd_reopen_nonblocking(STDOUT_FILENO, O_WRONLY | O_APPEND);
    if (out_fd < 0)
        g_warning("serial output goes to console.log only: stdout cannot be opened: %s",
                  g_strerror(errno));
    int in_fd = cvd_fd_reopen_nonblocking(STDIN_FILENO, O_RDONLY);
    add_port(console, in_fd, out_fd, TRUE);
    console->has_stdio = TRUE;
}

int cvd_console_open_viewer(CvdConsole *console, GError **error)
{
    int pair[2];

    if (console->ports->len >= CVD_CONSOLE_MAX_VIEWERS + (console->has_stdio ? 1 : 0)) {
        g_set_error(error, CVD_ERROR, CVD_ERROR_BUSY,
                    "the console has %d viewers already; detach one", CVD_CONSOLE_MAX_VIEWERS);
        return -1;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "cannot make a socket pair");
        return -1;
    }
    gsize size;
    const char *past = cvd_log_file_tail(console->log, CVD_CONSOLE_SCROLL_BACK, &size);
    Port *port = add_port(console, pair[0], pair[0], FALSE);
    if (size > 0)
        enqueue(port, past, size);
    return pair[1];
}
