/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/example.h"

#include "base/fd.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FOLDER    "conf/examples"
#define DISK_SIZE (4 * 1024 * 1024)
#define TEXT      "from the host\n"

char *test_example_path(const TestSandbox *sandbox, const char *name)
{
    g_autofree char *file = g_strdup_printf(FOLDER "/%s", name);

    return test_sandbox_path(sandbox, file);
}

static void copy_file(const TestSandbox *sandbox, const char *name)
{
    g_autofree char *source = test_source_path(name);
    g_autofree char *content = NULL;
    g_autoptr(GError) error = NULL;

    g_file_get_contents(source, &content, NULL, &error);
    g_assert_no_error(error);
    g_free(test_sandbox_write(sandbox, name, content));
}

static void make_folder(const TestSandbox *sandbox, const char *name)
{
    g_autofree char *path = test_example_path(sandbox, name);

    g_assert_no_errno(g_mkdir_with_parents(path, 0700));
}

char *test_example_copy(const TestSandbox *sandbox, const char *name)
{
    g_autofree char *file = g_strdup_printf(FOLDER "/%s.json", name);

    make_folder(sandbox, "share");
    make_folder(sandbox, "tpm");
    copy_file(sandbox, "conf/vsoc_mem.json");
    copy_file(sandbox, file);
    g_free(test_sandbox_write(sandbox, FOLDER "/share/host", TEXT));
    g_autofree char *disk = test_sandbox_write(sandbox, FOLDER "/disk.img", TEXT);
    g_assert_no_errno(truncate(disk, DISK_SIZE));
    return test_sandbox_path(sandbox, file);
}

/* What some take: a program that is installed, or a command that succeeds, and what it says. */
static const struct {
    const char *example;
    const char *program;
    const char *command;
    const char *why_not;
} needs[] = {
    {"shared-folder", "/usr/lib/qemu/virtiofsd", "unshare --map-root-user true",
     "there are no user namespaces for this user"},
    {"tpm", "swtpm", NULL, NULL},
    {"vhost-user-disk", "qemu-storage-daemon", NULL, NULL},
    {"network", "passt", "sh -c 'ip route | grep -q ^default'",
     "the host has no network that passt could be"},
};

static gboolean succeeds(const char *command)
{
    int status = 0;

    return g_spawn_command_line_sync(command, NULL, NULL, &status, NULL) && status == 0;
}

char *test_example_why_not(const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(needs); i++) {
        g_autofree char *path = g_find_program_in_path(needs[i].program);
        if (strcmp(needs[i].example, name) != 0)
            continue;
        if (path == NULL)
            return g_strdup_printf("%s is not installed", needs[i].program);
        if (needs[i].command != NULL && !succeeds(needs[i].command))
            return g_strdup(needs[i].why_not);
    }
    return NULL;
}

static struct sockaddr_in loopback(guint16 port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
}

guint16 test_find_free_port(void)
{
    struct sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    cvd_autofd fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_assert_no_errno(bind(fd, (struct sockaddr *)&address, size));
    g_assert_no_errno(getsockname(fd, (struct sockaddr *)&address, &size));
    return ntohs(address.sin_port);
}

int test_connect_port(guint16 port)
{
    struct sockaddr_in address = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_assert_no_errno(connect(fd, (struct sockaddr *)&address, sizeof address));
    return fd;
}
