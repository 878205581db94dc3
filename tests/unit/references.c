/* SPDX-License-Identifier: Apache-2.0 */
/* What entries of qemu.json name of each other, and of the host programs, is there. */
#include "base/json.h"
#include "launcher/config/config.h"

#include <glib/gstdio.h>
#include <string.h>

#define CONFIG                                                                                     \
    "{\"ivshmem\": {\"migratable\": %s}, \"layout\": {\"vsoc_device_regions\": "                   \
    "[{\"device_name\": \"r\", \"region_size\": 4096}]},"                                          \
    " \"qemu\": %s, \"programs\": %s}"

typedef struct {
    const char *qemu; /* with ' in place of " */
    const char *programs;
    const char *problem; /* a part of the only one; NULL: it is fine */
} Row;

static char *path;

static char *quote(const char *text)
{
    return g_strdelimit(g_strdup(text), "'", '"');
}

static CvdConfig *load(const Row *row, gboolean is_migratable, GPtrArray *problems)
{
    g_autofree char *qemu = quote(row->qemu);
    g_autofree char *programs = quote(row->programs);
    g_autofree char *text =
        g_strdup_printf(CONFIG, is_migratable ? "true" : "false", qemu, programs);
    g_autoptr(GError) error = NULL;

    g_file_set_contents(path, text, -1, &error);
    g_assert_no_error(error);
    return cvd_config_load(&(CvdConfigSource){.path = path}, problems);
}

static void check_for(const Row *rows, gsize n, gboolean is_migratable)
{
    for (gsize i = 0; i < n; i++) {
        g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
        G_GNUC_UNUSED g_autoptr(CvdConfig) config = load(&rows[i], is_migratable, problems);
        const char *first = problems->len > 0 ? problems->pdata[0] : NULL;
        if (!rows[i].problem && first)
            g_error("%s, %s: %s", rows[i].qemu, rows[i].programs, first);
        if (!rows[i].problem)
            continue;
        if (!first || !strstr(first, rows[i].problem))
            g_error("%s, %s: \"%s\" does not contain \"%s\"", rows[i].qemu, rows[i].programs, first,
                    rows[i].problem);
        g_assert_cmpuint(problems->len, ==, 1);
    }
}

static void check(const Row *rows, gsize n)
{
    check_for(rows, n, FALSE);
}

#define NO_PROGRAMS      "{}"
#define NULL_CHARDEV(ID) "{'id': '" ID "', 'backend': {'type': 'null'}}"
#define SOCKET_CHARDEV(ID, SOCKET)                                                                 \
    "{'id': '" ID "', 'backend': {'type': 'socket', 'server': false, 'addr':"                      \
    " {'type': 'fd', 'str': '" SOCKET "'}}}"
#define DEVICE(MORE) "'devices': [{'driver': 'x', " MORE "}]"

/* What is passed on unread may have it, too. */
static void test_references(void)
{
    static const Row rows[] = {
        {"{'chardevs': [" NULL_CHARDEV("c") "], " DEVICE("'chardev': 'c'") "}", NO_PROGRAMS, NULL},
        {"{'chardevs': [" NULL_CHARDEV("c") "], " DEVICE("'chardev': 'd'") "}", NO_PROGRAMS,
         "devices[0].chardev: found \"d\"; expected the id of an entry of chardevs: \"c\""},
        {"{" DEVICE("'chardev': 'c'") "}", NO_PROGRAMS,
         "devices[0].chardev: found \"c\"; expected the id of an entry of chardevs, which has "
         "none"},
        {"{" DEVICE("'chardev': 'c'") ", 'extra_args': ['-chardev', 'null,id=c']}", NO_PROGRAMS,
         NULL},
        {"{" DEVICE("'tpmdev': 't'") "}", NO_PROGRAMS,
         "devices[0].tpmdev: found \"t\"; expected the id of an entry of tpmdevs, which has none"},
        {"{'tpmdevs': [{'id': 't', 'type': 'passthrough'}], " DEVICE("'tpmdev': 't'") "}",
         NO_PROGRAMS, NULL},
        {"{'tpmdevs': [{'id': 't', 'type': 'emulator', 'chardev': 'c'}]}", NO_PROGRAMS,
         "tpmdevs[0].chardev: found \"c\"; expected the id of an entry of chardevs, which"},
        {"{'tpmdevs': [{'id': 't', 'type': 'emulator', 'data': {'chardev': 'c'}}]}", NO_PROGRAMS,
         "tpmdevs[0].data.chardev: found \"c\"; expected the id of an entry of chardevs, which"},
        {"{'chardevs': [" NULL_CHARDEV("c") ", {'id': 'm', 'backend': {'type': 'mux', 'data':"
                                            " {'chardev': 'd'}}}]}",
         NO_PROGRAMS, "chardevs[1].backend.data.chardev: found \"d\"; expected the id of an entry"},
        {"{'chardevs': [{'id': 'm', 'backend': {'type': 'mux', 'chardev': 'd'}}]}", NO_PROGRAMS,
         "chardevs[0].backend.chardev: found \"d\"; expected the id of an entry of chardevs: "
         "\"m\""},
        {"{'objects': [{'qom-type': 'rng-egd', 'id': 'r', 'chardev': 'c'}]}", NO_PROGRAMS,
         "objects[0].chardev: found \"c\"; expected the id of an entry of chardevs, which has"},
        {"{'memory_shared': true, 'netdevs': [{'type': 'vhost-user', 'id': 'n', 'chardev': 'c'}]}",
         NO_PROGRAMS, "netdevs[0].chardev: found \"c\"; expected the id of an entry of chardevs"},
    };

    check(rows, G_N_ELEMENTS(rows));
}

#define VHOST_USER                                                                                 \
    "'chardevs': [" NULL_CHARDEV(                                                                  \
        "c") "], 'devices': [{'driver': 'vhost-user-fs-pci', 'chardev': 'c'}]"
#define NEEDS     "needs memory that it can share with its back end: set \"memory_shared\" to true"
#define OWN(MORE) "'machine': 'q35,memory-backend=m', 'objects': [{'qom-type': " MORE "}]"

static void test_shared_memory(void)
{
    static const Row rows[] = {
        {"{" VHOST_USER "}", NO_PROGRAMS, "devices[0].driver: vhost-user-fs-pci " NEEDS},
        {"{'memory_shared': false, " VHOST_USER "}", NO_PROGRAMS, NEEDS},
        {"{'memory_shared': true, " VHOST_USER "}", NO_PROGRAMS, NULL},
        {"{'memory_shared': 1}", NO_PROGRAMS, "memory_shared: found 1; expected true or false"},
        /* A memory back end of the user's own. */
        {"{" VHOST_USER ", " OWN("'memory-backend-ram', 'share': true") "}", NO_PROGRAMS, NULL},
        {"{" VHOST_USER ", " OWN("'memory-backend-ram'") "}", NO_PROGRAMS, NEEDS},
        {"{" VHOST_USER ", " OWN("'memory-backend-file', 'share': false") "}", NO_PROGRAMS, NEEDS},
        {"{" VHOST_USER ", " OWN("'memory-backend-memfd'") "}", NO_PROGRAMS, NULL},
        {"{" VHOST_USER ", " OWN("'memory-backend-memfd', 'share': false") "}", NO_PROGRAMS, NEEDS},
        {"{" VHOST_USER ", 'extra_args': ['-object', 'memory-backend-memfd,id=m,size=1G']}",
         NO_PROGRAMS, NULL},
        {"{'memory_shared': true, " OWN("'memory-backend-ram', 'id': 'm'") "}", NO_PROGRAMS,
         "memory_shared: the machine has a memory-backend of its own; leave this key out, and give "
         "that one \"share\": true"},
        {"{'memory_shared': true, 'extra_args': ['-machine', 'memory-backend=m']}", NO_PROGRAMS,
         "memory_shared: the machine has a memory-backend of its own"},
        {"{'memory_shared': true, 'objects': [{'qom-type': 'x', 'id': 'cvd-ram'}]}", NO_PROGRAMS,
         "objects[0]: id \"cvd-ram\" is that of the guest's memory; choose another"},
        {"{'netdevs': [{'type': 'vhost-user', 'id': 'n', 'chardev': 'c'}], 'chardevs': "
         "[" NULL_CHARDEV("c") "]}",
         NO_PROGRAMS, "netdevs[0].type: vhost-user " NEEDS},
    };

    check(rows, G_N_ELEMENTS(rows));
}

/* A VM that can be saved needs RAM that the launcher makes; others need to be asked for. */
static void test_migratable(void)
{
    static const Row rows[] = {
        {"{}", NO_PROGRAMS, NULL},
        {"{'memory_shared': true, " VHOST_USER "}", NO_PROGRAMS, NULL},
        {"{" VHOST_USER "}", NO_PROGRAMS, "devices[0].driver: vhost-user-fs-pci " NEEDS},
        {"{" OWN("'memory-backend-ram', 'id': 'm'") "}", NO_PROGRAMS,
         "ivshmem.migratable: the machine has a memory-backend of its own; leave that out, as this "
         "key needs one that cvd-launch makes"},
        {"{'memory_shared': true, 'extra_args': ['-machine', 'memory-backend=m']}", NO_PROGRAMS,
         "ivshmem.migratable: the machine has a memory-backend of its own"},
        {"{'objects': [{'qom-type': 'x', 'id': 'cvd-ram'}]}", NO_PROGRAMS,
         "objects[0]: id \"cvd-ram\" is that of the guest's memory; choose another"},
    };

    check_for(rows, G_N_ELEMENTS(rows), TRUE);
}

#define PROGRAM(NAME, SOCKETS) "'" NAME "': {'argv': ['/bin/true'], 'sockets': {" SOCKETS "}}"

/* Each socket is used once, by whatever; a name of none is a problem that lists those there are. */
static void test_sockets(void)
{
    static const Row rows[] = {
        {"{'chardevs': [" SOCKET_CHARDEV("c", "${socket:a}") "]}",
         "{" PROGRAM("p", "'a': 'listen'") "}", NULL},
        {"{'netdevs': [{'type': 'stream', 'id': 'n', 'addr': {'type': 'fd', 'str':"
         " '${socket:a}'}}]}",
         "{" PROGRAM("p", "'a': 'pair'") "}", NULL},
        {"{'netdevs': [{'type': 'tap', 'id': 'n', 'fds': '${socket:a}:${socket:b}'}]}",
         "{" PROGRAM("p", "'a': 'pair'") ", " PROGRAM("q", "'b': 'pair'") "}", NULL},
        {"{'netdevs': [{'type': 'user', 'id': 'n', 'hostname': '${name}$$'}]}", NO_PROGRAMS, NULL},
        {"{}", "{" PROGRAM("p", "'a': 'listen'") "}",
         "programs.p.sockets.a: nothing in qemu.json uses the socket; name it there as "
         "\"${socket:a}\", in chardevs or netdevs, or remove it"},
        {"{'netdevs': [{'type': 'user', 'id': 'n', 'hostname': '$${socket:a}'}]}",
         "{" PROGRAM("p", "'a': 'listen'") "}", "programs.p.sockets.a: nothing in qemu.json uses"},
        {"{'chardevs': [" SOCKET_CHARDEV("c", "${socket:b}") ", " SOCKET_CHARDEV(
             "d", "${socket:a}") "]}",
         "{" PROGRAM("p", "'a': 'listen'") "}",
         "chardevs[0].backend.addr.str: ${socket:b}: unknown; \"sockets\" of a program has to name "
         "it; known are ${name}, ${runtime}, "
         "${client_socket}, ${config_dir}, ${index}, ${socket:a}, and $$ for a dollar"},
        {"{'chardevs': [" SOCKET_CHARDEV("c", "${socket:a}") ", " SOCKET_CHARDEV(
             "d", "${socket:a}") "]}",
         "{" PROGRAM("p", "'a': 'listen'") "}",
         "chardevs[1].backend.addr.str: socket \"a\" is used at qemu.chardevs[0].backend.addr."
         "str already; give this a socket of its own"},
        {"{'netdevs': [{'type': 'user', 'id': 'n', 'hostname': '${host}'}]}", NO_PROGRAMS,
         "netdevs[0].hostname: ${host}: unknown; known are ${name}"},
        {"{'tpmdevs': [{'id': 't', 'type': 'passthrough', 'path': '${nam}'}]}", NO_PROGRAMS,
         "tpmdevs[0].path: ${nam}: unknown; known are ${name}"},
        /* QEMU's vhost-user network does not take descriptors for a socket. */
        {"{'memory_shared': true, 'chardevs': [" SOCKET_CHARDEV(
             "c", "${socket:a}") "],"
                                 " 'netdevs': [{'type': 'vhost-user', 'id': 'n', 'chardev': 'c'}]}",
         "{" PROGRAM("p", "'a': 'listen'") "}",
         "netdevs[0]: QEMU's vhost-user network cannot use an inherited socket, as \"c\" has"},
        {"{'memory_shared': true, 'chardevs': [{'id': 'c', 'backend': {'type': 'socket', 'addr':"
         " {'type': 'unix', 'path': '/s'}}}],"
         " 'netdevs': [{'type': 'vhost-user', 'id': 'n', 'chardev': 'c'}]}",
         NO_PROGRAMS, NULL},
    };

    check(rows, G_N_ELEMENTS(rows));
}

/* What was read can be read again, and comes to the same. */
static void test_printed(void)
{
    const Row row = {
        "{'memory_shared': true, 'chardevs': [" SOCKET_CHARDEV(
            "c", "${socket:a}") ", {'id': 'f', 'backend': {'type': 'file', 'out': 'o'}}],"
                                " 'tpmdevs': [{'id': 't', 'type': 'emulator', 'chardev': 'c'}]}",
        "{" PROGRAM("p", "'a': 'listen'") "}", NULL};
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(CvdConfig) first = load(&row, FALSE, problems);
    g_autoptr(JsonNode) printed = cvd_config_to_json(first);
    JsonNode *qemu = json_object_get_member(json_node_get_object(printed), "qemu");
    g_autofree char *text = cvd_json_to_string(qemu, FALSE);
    g_autoptr(CvdConfig) second =
        load(&(Row){text, "{" PROGRAM("p", "'a': 'listen'") "}", NULL}, FALSE, problems);
    g_autofree char *directory = g_path_get_dirname(path);
    g_autofree char *resolved = g_strdup_printf(
        "{\"id\":\"f\",\"backend\":{\"type\":\"file\",\"out\":\"%s/o\"}}", directory);

    g_assert_cmpuint(problems->len, ==, 0);
    g_assert_true(second->qemu.memory_shared);
    g_assert_cmpstrv(first->qemu.chardevs, second->qemu.chardevs);
    g_assert_cmpstrv(first->qemu.tpmdevs, second->qemu.tpmdevs);
    g_assert_cmpstr(second->qemu.chardevs[1], ==, resolved);
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *directory = g_dir_make_tmp("cvd-references-XXXXXX", &error);

    g_test_init(&argc, &argv, NULL);
    g_assert_no_error(error);
    path = g_build_filename(directory, "cvd.json", NULL);
    g_test_add_func("/references/references", test_references);
    g_test_add_func("/references/shared-memory", test_shared_memory);
    g_test_add_func("/references/migratable", test_migratable);
    g_test_add_func("/references/sockets", test_sockets);
    g_test_add_func("/references/printed", test_printed);
    int status = g_test_run();
    g_unlink(path);
    g_rmdir(directory);
    g_free(path);
    return status;
}
