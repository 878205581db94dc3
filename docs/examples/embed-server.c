/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that serves a window of one region from a main loop of its own.
 *
 *   cc embed-server.c -o embed-server $(pkg-config --cflags --libs cvd-server)
 *   ./embed-server DIRECTORY
 *
 * QEMU then attaches with
 *
 *   -chardev socket,id=ivshmem,path=DIRECTORY/vm.sock
 *   -device ivshmem-doorbell,chardev=ivshmem,vectors=1
 *
 * and host programs at DIRECTORY/client.sock. Ctrl-c ends it.
 */
#include <cvd-server.h>

#include <glib-unix.h>
#include <signal.h>

static CvdLayout *make_layout(GError **error)
{
    g_autoptr(CvdLayoutSpec) spec = cvd_layout_spec_new();

    cvd_layout_spec_add(spec, "hello", 16384, 2, 2);
    return cvd_layout_new_from_spec(spec, error);
}

static void vm_attached(CvdServer *server, int pid, gpointer data)
{
    g_print("VM attached: pid %d\n", pid);
}

static void client_attached(CvdServer *server, int pid, const char *region, gpointer data)
{
    g_print("client attached: pid %d, region %s\n", pid, region);
}

static gboolean stop(gpointer loop)
{
    g_main_loop_quit(loop);
    return G_SOURCE_CONTINUE;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        g_printerr("usage: embed-server DIRECTORY\n");
        return 2;
    }

    g_autoptr(GError) error = NULL;
    g_autoptr(CvdLayout) layout = make_layout(&error);
    if (layout == NULL) {
        g_printerr("%s\n", error->message);
        return 2;
    }
    g_autofree char *vm_socket = g_build_filename(argv[1], "vm.sock", NULL);
    g_autofree char *client_socket = g_build_filename(argv[1], "client.sock", NULL);
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
    g_autoptr(CvdServer) server =
        g_object_new(CVD_TYPE_SERVER, "layout", layout, "vm-socket", vm_socket, "client-socket",
                     client_socket, "vm-access", CVD_VM_ACCESS_SAME_USER, NULL);

    g_signal_connect(server, "vm-attached", G_CALLBACK(vm_attached), NULL);
    g_signal_connect(server, "client-attached", G_CALLBACK(client_attached), NULL);
    g_unix_signal_add(SIGINT, stop, loop);
    if (!cvd_server_start(server, &error)) {
        g_printerr("%s\n", error->message);
        return 1;
    }
    g_print("serving at %s\n", client_socket);
    g_main_loop_run(loop);
    return 0;
}
