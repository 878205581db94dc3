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

static CvdLayout *make_layout(void)
{
    g_autoptr(CvdLayoutSpec) spec = cvd_layout_spec_new();
    g_autoptr(GPtrArray) problems =
        g_ptr_array_new_with_free_func((GDestroyNotify)cvd_layout_problem_free);
    CvdRegionSpec *region = cvd_layout_spec_add_region(spec);

    region->name = g_strdup("hello");
    region->size = 16384;
    region->guest_to_host_nodes_lg2 = 2;
    region->host_to_guest_nodes_lg2 = 2;

    CvdLayout *layout = cvd_layout_new(spec, problems);
    for (guint i = 0; i < problems->len; i++)
        g_printerr("%s\n", ((const CvdLayoutProblem *)problems->pdata[i])->message);
    return layout;
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
    g_autoptr(CvdLayout) layout = make_layout();
    if (argc != 2 || layout == NULL) {
        g_printerr("usage: embed-server DIRECTORY\n");
        return 2;
    }

    g_autofree char *vm_socket = g_build_filename(argv[1], "vm.sock", NULL);
    g_autofree char *client_socket = g_build_filename(argv[1], "client.sock", NULL);
    const CvdServerOptions options = {
        .vm_socket = vm_socket,
        .client_socket = client_socket,
        .socket_mode = 0600,
        .vm_access = CVD_VM_ACCESS_SAME_USER,
    };
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
    g_autoptr(CvdServer) server = cvd_server_new(layout, &options);
    g_autoptr(GError) error = NULL;

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
