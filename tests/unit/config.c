/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cvd.json and what it names: cvd.json(5). Which values are right and
 * wrong is told by the cases in data/ (see schemas.py); here it is what they come to mean, and in
 * which words the wrong ones are answered.
 */
#include "launcher/config/config.h"

#include "base/json.h"
#include "launcher/config/probe.h"
#include "launcher/config/qemu.h"
#include "tests/unit/config-files.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static void test_defaults(Files *files, gconstpointer data)
{
    g_autoptr(CvdConfig) config = load_good(files, NULL);
    g_assert_cmpstr(config->name, ==, "cvd-1");
    g_assert_cmpuint(config->layout->n_regions, ==, 1);
    g_assert_cmpint(config->window.backing, ==, CVD_WINDOW_MEMFD);
    g_assert_null(config->window.path);
    g_assert_cmpuint(config->window.hugepage_size, ==, 0);
    g_assert_true(config->window.prealloc);
    g_assert_null(config->vm_socket);
    g_assert_null(config->client_socket);
    g_assert_null(config->legacy_socket);
    g_assert_cmpstr(config->version_reply, ==, "PROTOCOL_VER 0");
    g_assert_cmpuint(config->socket_mode, ==, 0600);
    g_assert_cmpuint(config->max_clients, ==, 1024);
    g_assert_cmpuint(config->handshake_timeout_ms, ==, 5000);
    g_assert_cmpuint(config->ivshmem_slot, ==, 0x10);
    g_assert_false(config->ivshmem_force_bus_master);
    g_assert_false(config->ivshmem_migratable);
    g_assert_cmpint(config->stop, ==, CVD_STOP_POWERDOWN);
    g_assert_cmpuint(config->stop_timeout_s, ==, 10);
    g_assert_cmpuint(config->start_timeout_s, ==, 30);
    g_assert_cmpint(config->ready, ==, CVD_MACHINE_READY_RUNNING);
    g_assert_null(config->ready_pattern);
    g_assert_cmpint(config->on_crash, ==, CVD_ON_EVENT_EXIT);
    g_assert_cmpint(config->on_panic, ==, CVD_ON_EVENT_EXIT);
    g_assert_cmpint(config->on_reboot, ==, CVD_ON_EVENT_CONTINUE);
    g_assert_cmpuint(config->restart_limit, ==, 5);
    g_assert_cmpuint(config->restart_delay_ms, ==, 1000);
    g_assert_cmpuint(config->qmp_timeout_s, ==, 0);
}

static void test_qemu_defaults(Files *files, gconstpointer data)
{
    g_autoptr(CvdConfig) config = load_good(files, NULL);
    const CvdQemuConfig *qemu = &config->qemu;
    g_assert_cmpstr(qemu->binary, ==, "qemu-system-x86_64");
    g_assert_cmpstr(qemu->machine, ==, "q35");
    g_assert_cmpuint(g_strv_length(qemu->accel), ==, 2);
    g_assert_cmpstr(qemu->accel[0], ==, "kvm");
    g_assert_cmpstr(qemu->accel[1], ==, "tcg");
    g_assert_null(qemu->cpu);
    g_assert_null(qemu->smp);
    g_assert_null(qemu->cpus.pin);
    g_assert_cmpuint(qemu->cpus.weight, ==, 0);
    g_assert_cmpuint(qemu->memory_limit_bytes, ==, 0);
    g_assert_cmpuint(qemu->memory_bytes, ==, 512 * 1024 * 1024);
    g_assert_null(qemu->kernel);
    g_assert_null(qemu->initrd);
    g_assert_null(qemu->append);
    g_assert_null(qemu->firmware);
    g_assert_cmpuint(g_strv_length(qemu->objects), ==, 0);
    g_assert_cmpuint(g_strv_length(qemu->blockdevs), ==, 0);
    g_assert_cmpuint(g_strv_length(qemu->chardevs), ==, 0);
    g_assert_cmpuint(g_strv_length(qemu->netdevs), ==, 0);
    g_assert_cmpuint(g_strv_length(qemu->tpmdevs), ==, 0);
    g_assert_false(qemu->memory_shared);
    g_assert_cmpuint(g_strv_length(qemu->devices), ==, 0);
    g_assert_cmpint(qemu->serial, ==, CVD_SERIAL_LOG);
    g_assert_cmpstr(qemu->display, ==, "none");
    g_assert_cmpstr(qemu->sandbox, ==,
                    "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
    g_assert_cmpuint(g_strv_length(qemu->extra_args), ==, 0);
}

static const char every_key[] =
    "{\"name\": \"x\", \"layout\": " LAYOUT ", \"qemu\": \"qemu.json\","
    " \"window\": {\"backing\": \"posix-shm\", \"path\": \"/dev/shm/x\","
    "              \"size\": \"64K\", \"prealloc\": false},"
    " \"sockets\": {\"vm\": \"v\", \"client\": \"./c\", \"legacy_client\": \"/l\","
    "               \"version_reply\": \"0x00000000\", \"mode\": \"0660\"},"
    " \"limits\": {\"clients\": 7, \"handshake_timeout_ms\": 8,"
    "            \"trace_size\": \"1M\"},"
    " \"ivshmem\": {\"address\": \"0x1F\", \"force_bus_master\": true,"
    "              \"migratable\": true},"
    " \"lifecycle\": {\"stop\": \"quit\", \"stop_timeout_s\": 1,"
    "                 \"start_timeout_s\": 2, \"on_crash\": \"exit\","
    "                 \"ready\": \"guest\", \"ready_pattern\": \"login: \","
    "                 \"on_panic\": \"exit\", \"on_reboot\": \"exit\","
    "                 \"restart_limit\": 0, \"restart_delay_ms\": 0,"
    "                 \"qmp_timeout_s\": 7}}";

static void test_every_key(Files *files, gconstpointer data)
{
    write_file("conf/cvd.json", every_key);
    g_autoptr(CvdConfig) config = load_good(files, NULL);
    g_autofree char *conf = g_build_filename(files->directory, "conf", NULL);
    g_autofree char *vm = g_build_filename(conf, "v", NULL);
    g_autofree char *client = g_build_filename(conf, "c", NULL);
    g_assert_cmpstr(config->name, ==, "x");
    g_assert_cmpint(config->window.backing, ==, CVD_WINDOW_POSIX_SHM);
    g_assert_cmpstr(config->window.path, ==, "/dev/shm/x");
    g_assert_cmpuint(config->layout->window_size, ==, 64 * 1024);
    g_assert_false(config->window.prealloc);
    g_assert_cmpstr(config->vm_socket, ==, vm);
    g_assert_cmpstr(config->client_socket, ==, client);
    g_assert_cmpstr(config->legacy_socket, ==, "/l");
    g_assert_cmpstr(config->version_reply, ==, "0x00000000");
    g_assert_cmpuint(config->socket_mode, ==, 0660);
    g_assert_cmpuint(config->max_clients, ==, 7);
    g_assert_cmpuint(config->handshake_timeout_ms, ==, 8);
    g_assert_cmpuint(config->trace_size, ==, 1 << 20);
    g_assert_cmpuint(config->ivshmem_slot, ==, 0x1f);
    g_assert_true(config->ivshmem_force_bus_master);
    g_assert_true(config->ivshmem_migratable);
    g_assert_cmpint(config->stop, ==, CVD_STOP_QUIT);
    g_assert_cmpuint(config->stop_timeout_s, ==, 1);
    g_assert_cmpuint(config->start_timeout_s, ==, 2);
    g_assert_cmpint(config->ready, ==, CVD_MACHINE_READY_GUEST);
    g_assert_cmpstr(config->ready_pattern, ==, "login: ");
    g_assert_cmpint(config->on_reboot, ==, CVD_ON_EVENT_EXIT);
    g_assert_cmpuint(config->restart_limit, ==, 0);
    g_assert_cmpuint(config->restart_delay_ms, ==, 0);
    g_assert_cmpuint(config->qmp_timeout_s, ==, 7);
}

static const char every_qemu_key[] =
    "{\"binary\": \"../bin/q\", \"machine\": \"pc,usb=off\", \"accel\": \"tcg\","
    " \"cpu\": \"max\", \"smp\": 3, \"cpus\": {\"pin\": [0, \"2\", \"4-7\"], \"weight\": 42}, "
    "\"memory_limit\": \"2G\", \"memory\": 1048576, "
    "\"kernel\": \"k\","
    " \"initrd\": \"/i\", \"append\": [\"a\", \"b=c\"], \"firmware\": \"bios.bin\","
    " \"objects\": [{\"qom-type\": \"o\"}], \"blockdevs\": [{\"driver\": \"b\"}],"
    " \"memory_shared\": true, \"chardevs\": [{\"id\": \"c\", \"backend\": {\"type\": \"null\"}}],"
    " \"tpmdevs\": [{\"id\": \"t\", \"type\": \"emulator\", \"chardev\": \"c\"}],"
    " \"netdevs\": [{\"type\": \"n\"}], \"devices\": [{\"driver\": \"d\", \"x\": [1, "
    "1e20, 0.1, 18446744073709551615]}],"
    " \"serial\": \"stdio\", \"display\": \"gtk\", \"sandbox\": false,"
    " \"extra_args\": [\"-d\", \"int\"]}";

static void test_every_qemu_key(Files *files, gconstpointer data)
{
    write_file("conf/qemu.json", every_qemu_key);
    g_autoptr(CvdConfig) config = load_good(files, NULL);
    const CvdQemuConfig *qemu = &config->qemu;
    g_autofree char *binary = g_build_filename(files->directory, "conf", "../bin/q", NULL);
    g_autofree char *kernel = g_build_filename(files->directory, "conf", "k", NULL);
    g_assert_cmpstr(qemu->binary, ==, binary);
    g_assert_cmpstr(qemu->machine, ==, "pc,usb=off");
    g_assert_cmpuint(g_strv_length(qemu->accel), ==, 1);
    g_assert_cmpstr(qemu->accel[0], ==, "tcg");
    g_assert_cmpstr(qemu->cpu, ==, "max");
    g_assert_cmpstr(qemu->smp, ==, "3");
    g_assert_cmpuint(g_strv_length(qemu->cpus.pin), ==, 3);
    g_assert_cmpstr(qemu->cpus.pin[0], ==, "0");
    g_assert_cmpstr(qemu->cpus.pin[2], ==, "4-7");
    g_assert_cmpuint(qemu->cpus.weight, ==, 42);
    g_assert_cmpuint(qemu->memory_limit_bytes, ==, G_GUINT64_CONSTANT(2) << 30);
    g_assert_cmpuint(qemu->memory_bytes, ==, 1048576);
    g_assert_cmpstr(qemu->kernel, ==, kernel);
    g_assert_cmpstr(qemu->initrd, ==, "/i");
    g_assert_cmpstr(qemu->append, ==, "a b=c");
    g_assert_cmpstr(qemu->firmware, ==, "bios.bin");
    g_assert_cmpstr(qemu->objects[0], ==, "{\"qom-type\":\"o\"}");
    g_assert_cmpstr(qemu->blockdevs[0], ==, "{\"driver\":\"b\"}");
    g_assert_true(qemu->memory_shared);
    g_assert_cmpstr(qemu->chardevs[0], ==, "{\"id\":\"c\",\"backend\":{\"type\":\"null\"}}");
    g_assert_cmpstr(qemu->netdevs[0], ==, "{\"type\":\"n\"}");
    g_assert_cmpstr(qemu->tpmdevs[0], ==, "{\"id\":\"t\",\"type\":\"emulator\",\"chardev\":\"c\"}");
    g_assert_cmpstr(qemu->devices[0], ==,
                    "{\"driver\":\"d\",\"x\":[1,1e+20,0.1,18446744073709551615]}");
    g_assert_cmpint(qemu->serial, ==, CVD_SERIAL_STDIO);
    g_assert_cmpstr(qemu->display, ==, "gtk");
    g_assert_null(qemu->sandbox);
    g_assert_cmpstr(qemu->extra_args[1], ==, "int");
}

/* Returns: what conf/cvd.json comes to, and where from */
static JsonObject *explain(Files *files, const char *name, const char *const *overrides)
{
    const CvdConfigSource source = {
        .path = "conf/cvd.json", .name = name, .overrides = overrides, .explain = TRUE};
    g_autoptr(CvdConfig) config = cvd_config_load(&source, files->problems);
    g_autoptr(GError) error = NULL;

    g_assert_nonnull(config);
    g_autoptr(JsonNode) root = cvd_json_from_string(config->explanation, &error);
    g_assert_no_error(error);
    return json_object_ref(json_node_get_object(root));
}

static void test_origins(Files *files, gconstpointer data)
{
    static const struct {
        const char *path;
        const char *origin;
    } rows[] = {
        {"name", "--name"},
        {"layout", "conf/layout.json"},
        {"layout.vsoc_device_regions[0].region_size",
         "--set layout.vsoc_device_regions.0.region_size=8192"},
        {"limits.clients", "conf/cvd.json"},
        {"limits.handshake_timeout_ms", "default"},
        {"lifecycle.stop", "--set lifecycle={\"stop\":\"quit\"}"},
        {"access", "default"},
        {"qemu.binary", "conf/layout.json"},
        {"qemu.append", "conf/layout.json"},
        {"qemu.memory", "--set qemu.memory=4G"},
        {"qemu.smp", "default"},
        {"qemu.devices", "conf/qemu.json"},
        {"qemu.devices[0].driver", NULL},
        {"qemu.devices[0].id", "--set qemu.devices.0.id=x"},
    };
    write_file("conf/cvd.json", "{\"layout\": \"layout.json\", \"qemu\": \"qemu.json\","
                                " \"limits\": {\"clients\": 7}}");
    write_file("conf/qemu.json", "{\"devices\": [{\"driver\": \"d\"}], \"kernel\": \"k\","
                                 " \"smp\": 2}");
    write_file("conf/layout.json", "{\"guest\": {\"vmm_path\": \"/q\", \"kernel_command_line\":"
                                   " [\"a\"]}, \"vsoc_device_regions\": [{\"device_name\": \"a\","
                                   " \"region_size\": 4096}]}");
    g_autoptr(JsonObject) explanation =
        explain(files, "other",
                (const char *[]){"qemu.memory=4G", "qemu.devices.0.id=x", "qemu.smp=null",
                                 "lifecycle={\"stop\":\"quit\"}",
                                 "layout.vsoc_device_regions.0.region_size=8192", NULL});
    JsonObject *from = json_object_get_object_member(explanation, "from");
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++)
        g_assert_cmpstr(json_object_get_string_member_with_default(from, rows[i].path, NULL), ==,
                        rows[i].origin);
    g_assert_false(json_object_has_member(from, "qemu"));
}

/* What stands in cvd.json itself has whole paths as well. */
static void test_origins_inline(Files *files, gconstpointer data)
{
    write_file("conf/cvd.json", "{\"layout\": " LAYOUT ", \"qemu\": {\"smp\": 2}}");
    g_autoptr(JsonObject) explanation = explain(
        files, NULL, (const char *[]){"layout.vsoc_device_regions.0.region_size=8192", NULL});
    JsonObject *from = json_object_get_object_member(explanation, "from");

    g_assert_cmpstr(json_object_get_string_member(from, "layout"), ==, "conf/cvd.json");
    g_assert_cmpstr(
        json_object_get_string_member(from, "layout.vsoc_device_regions[0].region_size"), ==,
        "--set layout.vsoc_device_regions.0.region_size=8192");
    g_assert_cmpstr(json_object_get_string_member(from, "qemu.smp"), ==, "conf/cvd.json");
    g_assert_cmpstr(json_object_get_string_member(from, "qemu.cpu"), ==, "default");
}

static char *values_of(JsonObject *explanation)
{
    return cvd_json_to_string(json_object_get_member(explanation, "config"), FALSE);
}

/* Every value that was given is there. */
static void assert_complete(JsonObject *explanation)
{
    JsonObjectIter iter;
    const char *path;
    JsonNode *origin;

    json_object_iter_init(&iter, json_object_get_object_member(explanation, "from"));
    while (json_object_iter_next(&iter, &path, &origin)) {
        g_auto(GStrv) parts = g_strsplit(path, ".", -1);
        JsonNode *value = json_object_get_member(explanation, "config");
        if (strchr(path, '[') || strcmp(json_node_get_string(origin), "default") == 0)
            continue;
        for (char **part = parts; *part && value; part++)
            value = json_object_get_member(json_node_get_object(value), *part);
        if (!value)
            g_error("%s is not printed", path);
    }
}

/* What is printed is a configuration that comes to the same. */
static void test_explanation_loads(Files *files, gconstpointer data)
{
    static const char *const overrides[][4] = {
        {NULL},
        {"window={\"hugepages\":\"2M\"}",
         "access=[{\"group\":0,\"mode\":\"ro\"},{\"user\":\"*\",\"regions\":[\"a\"],\"mode\":"
         "\"rw\"}]",
         "qemu.run_as=nobody", NULL},
    };

    for (guint i = 0; i < G_N_ELEMENTS(overrides); i++) {
        write_file("conf/cvd.json", every_key);
        write_file("conf/qemu.json", every_qemu_key);
        g_autoptr(JsonObject) first = explain(files, NULL, overrides[i]);
        g_autofree char *values = values_of(first);
        assert_complete(first);
        write_file("conf/cvd.json", values);
        g_autoptr(JsonObject) second = explain(files, NULL, NULL);
        g_autofree char *again = values_of(second);
        g_assert_cmpstr(values, ==, again);
    }
}

/* As a snapshot has it, in a directory of its own; what is named on the command line is relative to
 * where the command is run, as ever. */
static void test_other_directories(Files *files, gconstpointer data)
{
    const char *overrides[] = {"qemu.initrd=i", NULL};
    const CvdConfigSource source = {.path = "conf/cvd.json",
                                    .directory = "/origin",
                                    .qemu_directory = "/origin/qemu",
                                    .overrides = overrides};
    const char *other_qemu[] = {"qemu=conf/qemu.json", NULL};
    CvdConfigSource with_other_qemu = source;

    write_file("conf/cvd.json", "{\"layout\": " LAYOUT ", \"qemu\": {\"kernel\": \"k\"},"
                                " \"programs\": {\"p\": {\"argv\": [\"./p\"]}}}");
    g_autoptr(CvdConfig) config = cvd_config_load(&source, files->problems);
    g_assert_cmpuint(files->problems->len, ==, 0);
    g_autofree char *initrd = g_build_filename(files->directory, "i", NULL);
    g_assert_cmpstr(config->directory, ==, "/origin");
    g_assert_cmpstr(config->qemu.directory, ==, "/origin/qemu");
    g_assert_cmpstr(config->qemu.kernel, ==, "/origin/k");
    g_assert_cmpstr(config->qemu.initrd, ==, initrd);
    g_assert_cmpstr(config->programs[0].argv[0], ==, "/origin/p");
    g_assert_cmpstr(config->programs[0].cwd, ==, "/origin");
    with_other_qemu.overrides = other_qemu;
    g_autoptr(CvdConfig) other = cvd_config_load(&with_other_qemu, files->problems);
    g_autofree char *conf = g_build_filename(files->directory, "conf", NULL);
    g_assert_cmpstr(other->qemu.directory, ==, conf);
}

/* The same with what a snapshot keeps, which is there without being asked for when the machine is
 * started. */
static void test_format_loads(Files *files, gconstpointer data)
{
    const CvdConfigSource source = {
        .path = "conf/cvd.json",
        .name = "other",
        .overrides = (const char *[]){"ivshmem.migratable=true", "qemu.smp=3", NULL}};

    write_file("conf/cvd.json", every_key);
    write_file("conf/qemu.json", every_qemu_key);
    g_autoptr(JsonObject) first = explain(files, source.name, source.overrides);
    g_autofree char *values = values_of(first);
    g_autoptr(CvdConfig) config = cvd_config_load(&source, files->problems);
    g_autofree char *text = cvd_config_format(config);
    write_file("conf/cvd.json", text);
    g_autoptr(JsonObject) second = explain(files, NULL, NULL);
    g_autofree char *again = values_of(second);
    g_assert_cmpstr(values, ==, again);
}

static glong peak_kib(void)
{
    struct rusage usage;

    g_assert_no_errno(getrusage(RUSAGE_SELF, &usage));
    return usage.ru_maxrss;
}

/* 100,000 values, each with a path of 1.5 kB: not all of them are in memory at once. */
static void test_long_paths(Files *files, gconstpointer data)
{
    const guint n_values = 100000, depth = 50;
    g_autoptr(GString) text = g_string_new("{\"blockdevs\": [{\"driver\": \"a\"");

    for (guint i = 0; i < depth; i++)
        g_string_append_printf(text, ", \"%030u\": {\"y\": 0", i);
    g_string_append(text, ", \"x\": [0");
    for (guint i = 1; i < n_values; i++)
        g_string_append(text, ",0");
    g_string_append_c(text, ']');
    for (guint i = 0; i < depth; i++)
        g_string_append_c(text, '}');
    g_string_append(text, "}], \"devices\": [{\"driver\": \"d\", \"drive\": \"none\"}]}");
    write_file("conf/qemu.json", text->str);
    glong before = peak_kib();
    assert_bad(files, NULL, "qemu.json: line 1: devices[0].drive: found \"none\"");
    g_assert_cmpint(peak_kib() - before, <, 200 * 1024);
}

/* Wherever one starts, and from the current directory in an option; but not what is no file. */
static void test_relative_files(Files *files, gconstpointer data)
{
    const char *overrides[] = {"qemu.blockdevs.0.filename=d", NULL};

    write_file("conf/qemu.json",
               "{\"blockdevs\": [{\"driver\": \"file\", \"filename\": \"a\"}, {\"driver\": \"q\","
               " \"children\": [{\"driver\": \"file\", \"filename\": \"./b\"},"
               " {\"driver\": \"file\", \"filename\": \"/c\"}]}],"
               " \"objects\": [{\"qom-type\": \"m\", \"mem-path\": \"ram\", \"id\": \"x\"}],"
               " \"netdevs\": [{\"type\": \"tap\", \"script\": \"no\"}]}");
    g_autoptr(CvdConfig) config = load_good(files, overrides);
    const CvdQemuConfig *qemu = &config->qemu;
    const char *dir = files->directory;
    g_autofree char *conf = g_build_filename(dir, "conf", NULL);
    g_autofree char *first = g_strdup_printf("{\"driver\":\"file\",\"filename\":\"%s/d\"}", dir);
    g_autofree char *second = g_strdup_printf(
        "{\"driver\":\"q\",\"children\":[{\"driver\":\"file\",\"filename\":\"%s/b\"},"
        "{\"driver\":\"file\",\"filename\":\"/c\"}]}",
        conf);
    g_autofree char *object =
        g_strdup_printf("{\"qom-type\":\"m\",\"mem-path\":\"%s/ram\",\"id\":\"x\"}", conf);
    g_assert_cmpstr(qemu->directory, ==, conf);
    g_assert_cmpstr(qemu->blockdevs[0], ==, first);
    g_assert_cmpstr(qemu->blockdevs[1], ==, second);
    g_assert_cmpstr(qemu->objects[0], ==, object);
    g_assert_cmpstr(qemu->netdevs[0], ==, "{\"type\":\"tap\",\"script\":\"no\"}");
}

/* The words: each names the file or option, the JSON path, what was found, and what would do. */
static const struct {
    const char *override;
    const char *message;
} messages[] = {
    {"name=a b", "--set name=a b: name: found \"a b\"; expected a string of 1 to 32 letters"},
    {"name=5", "name: found 5; expected a string of"},
    {"nam=x", "--set nam=x: nam: unknown key; did you mean \"name\"?"},
    {"window.bcking=x", "window.bcking: unknown key; did you mean \"backing\"?"},
    {"qemu.memroy=1G", "--set qemu.memroy=1G: memroy: unknown key; did you mean \"memory\"?"},
    {"accel=tcg", "--set accel=tcg: accel: unknown key; did you mean \"qemu.accel\"?"},
    {"on_crash=exit", "on_crash: unknown key; did you mean \"lifecycle.on_crash\"?"},
    {"limits.zzzzz=1", "unknown key; known are clients, handshake_timeout_ms"},
    {"window=3", "window: found 3; expected an object"},
    {"window.backing=shm", "found \"shm\"; expected \"memfd\" or \"posix-shm\""},
    {"window.backing=posix-shm", "window: backing \"posix-shm\" needs \"path\""},
    {"window.path=/x", "a memfd has no name"},
    {"window.size=-1", "found -1; expected a size from 1 to 2G"},
    {"window.size=3G", "found \"3G\"; expected a size from 1 to 2G"},
    {"window.size=[]", "found a list; expected a size"},
    {"window.hugepages=4K", "found \"4K\"; expected \"2M\" or \"1G\""},
    {"window.prealloc=1", "found 1; expected true or false"},
    {"sockets.mode=0999", "found \"0999\"; expected an octal mode as a string"},
    {"sockets.vm=", "found \"\"; expected a path"},
    {"limits.clients=0", "found 0; expected an integer from 1 to 100000"},
    {"limits.clients=100001", "found 100001; expected an integer"},
    {"limits.clients=18446744073709551616", "found \"18446744073709551616\"; expected an"},
    {"ivshmem.address=0x20", "found \"0x20\"; expected a PCI slot"},
    {"ivshmem.force_bus_master={}", "found an object; expected true or false"},
    {"lifecycle.on_crash=continue", "found \"continue\"; expected \"exit\" or \"restart\""},
    {"lifecycle.on_panic=continue", "found \"continue\"; expected \"exit\" or \"restart\""},
    {"lifecycle.on_reboot=pause", "found \"pause\"; expected \"exit\" or \"continue\" or"},
    {"lifecycle.ready=booted",
     "found \"booted\"; expected \"running\" or \"guest\" or \"programs\""},
    {"lifecycle.ready_pattern=x", "ready_pattern: is for \"ready\": \"guest\" alone"},
    {"lifecycle={\"ready\":\"guest\",\"ready_pattern\":\"ab(\"}",
     "lifecycle.ready_pattern: Error while compiling regular expression "
     "\342\200\230ab(\342\200\231 at "
     "char 3: missing terminating )"},
    {"lifecycle={\"ready\":\"guest\",\"ready_pattern\":\"x*\"}",
     "lifecycle.ready_pattern: any line would match it"},
    {"lifecycle.restart_limit=1001", "found 1001; expected an integer from 0 to 1000"},
    {"lifecycle.restart_delay_ms=30001", "found 30001; expected an integer from 0 to 30000"},
    {"lifecycle.qmp_timeout_s=-1", "found -1; expected an integer from 0 to 86400"},
    {"access=ro", "found \"ro\"; expected a list of rules"},
    {"access=[{\"user\":\"nosuchuser\",\"mode\":\"ro\"}]", "no user \"nosuchuser\"; `getent"},
    {"access=[{\"group\":\"nosuchgroup\",\"mode\":\"ro\"}]", "no group \"nosuchgroup\"; `get"},
    {"access=[{\"user\":4294967295,\"mode\":\"ro\"}]", "there is no user \"4294967295\""},
    {"access=[{\"user\":0,\"group\":0,\"mode\":\"ro\"}]", "one of them only"},
    {"access=[{\"user\":0}]", "needs \"mode\", \"rw\" or \"ro\""},
    {"access=[{\"user\":0,\"mode\":\"wo\"}]", "expected \"rw\" or \"ro\""},
    {"access=[{\"user\":0,\"mode\":\"ro\",\"regions\":[\"x\"]}]", "has no region \"x\""},
    {"qemu.run_as=nosuchuser", "there is no user \"nosuchuser\"; `getent passwd`"},
    {"qemu.run_as=1000:nosuchgroup", "there is no group \"nosuchgroup\"; `getent group`"},
    {"qemu.run_as=0", "run_as: root is what this is to prevent"},
    {"qemu.run_as=root", "run_as: root is what this is to prevent"},
    {"qemu.run_as=4711", "uid 4711 has no entry in the user database, and so no group; give"},
    {"qemu.run_as=4711:0", "root's group, gid 0, is what this is to keep out of"},
    {"qemu.run_as=nobody:root", "root's group, gid 0, is what this is to keep out of"},
    {"qemu.run_as=true", "found true; expected a user's name or number"},
    {"qemu.watchdog_s=2047", "found 2047; expected an integer from 0 to 2046"},
    {"qemu.memory=512", "found 512; expected a size from 1M to 16384G"},
    {"qemu.memory=1T", "with K, M or G"},
    {"qemu.accel=[]", "accel: found a list; expected an accelerator"},
    {"qemu.cpu=18446744073709551615", "found 18446744073709551615; expected a string"},
    {"qemu.accel=[1]", "accel[0]: found 1; expected an accelerator"},
    {"qemu.accel=kvm:hvf:tcg", "accel: found \"kvm:hvf:tcg\"; expected an accelerator such as"},
    {"qemu.machine=q35,accel=kvm", "accel=kvm: accelerators are named in \"accel\", as a list"},
    {"qemu.machine=isapc", "machine: isapc has no PCI, which the window's device needs; use"},
    {"qemu.machine=none,usb=off", "machine: none has no PCI"},
    {"qemu.machine=type=microvm", "machine: microvm has no PCI, which the window's device needs; "
                                  "use \"microvm,pcie=on\""},
    {"qemu.smp=0",
     "smp: found 0; expected an integer from 1 to 4096, or the value of -smp, such as"},
    {"qemu.smp=99999999999999999999", "smp: found \"99999999999999999999\"; expected an"},
    {"qemu.smp=\"4097,cores=1\"",
     "smp: found \"4097,cores=1\"; expected an integer from 1 to 4096"},
    {"qemu.smp=two", "smp: found \"two\"; expected an integer from 1 to 4096, or the value of "
                     "-smp, such as \"2,"},
    {"qemu.smp=2,cores", "smp: found \"2,cores\"; expected an integer from 1 to 4096"},
    {"qemu.smp=cores=two", "smp: found \"cores=two\"; expected an integer from 1 to 4096"},
    {"qemu.cpus.pin=all", "cpus.pin: found \"all\"; expected numbers of processors below 8192, "
                          "such as \"0-3,8\", or a list with one of these for each vCPU"},
    {"qemu.cpus.pin=[\"3-1\"]", "cpus.pin[0]: found \"3-1\"; expected numbers of processors"},
    {"qemu.cpus.pin=[0,1]", "cpus.pin: has 2 entries, and qemu.smp is 1: give one for each vCPU"},
    {"qemu.devices=[{}]", "devices[0]: needs \"driver\", a string"},
    {"qemu.objects=[{\"id\":\"x\"}]", "objects[0]: needs \"qom-type\""},
    {"qemu.devices=[{\"driver\":\"x\",\"id\":\"ivshmem\"}]", "choose another"},
    {"qemu.netdevs=[{\"type\":\"user\",\"hostfwd\":\"tcp::15022-:22\"}]",
     "netdevs[0].hostfwd: found \"tcp::15022-:22\"; expected a list of objects: "
     "[{\"str\": \"tcp::15022-:22\"}]"},
    {"qemu.netdevs=[{\"type\":\"user\",\"dnssearch\":[\"a\"]}]",
     "netdevs[0].dnssearch: found a list; expected a list of objects: [{\"str\": "},
    {"qemu.devices=[{\"driver\":\"x\"},{\"driver\":\"y\",\"netdev\":\"n\"}]",
     "devices[1].netdev: found \"n\"; expected the id of an entry of netdevs, which has none"},
    {"qemu={\"blockdevs\":[{\"driver\":\"x\",\"node-name\":\"a\",\"file\":{\"node-name\":"
     "\"b\"}}],\"devices\":[{\"driver\":\"x\",\"drive\":\"c\"}]}",
     "devices[0].drive: found \"c\"; expected the node-name of an entry of blockdevs: \"a\", "
     "\"b\""},
    {"qemu.initrd=x", "--set qemu.initrd=x: initrd: needs \"kernel\""},
    {"qemu.extra_args=[\"-S\",\"--daemonize\"]", "extra_args: --daemonize: QEMU has to stay"},
    {"qemu.extra_args=[1]", "extra_args[0]: found 1; expected a string"},
    {"qemu=3", "--set qemu=3: qemu: found 3; expected the path of a file, or an object"},
    {"layout=nowhere.json", "layout: nowhere.json: No such file or directory; name a JSON file"},
    {"qemu={\"memory\": 1", "VALUE begins like JSON, but is none: line 1, column 13: expect"},
    {"qemu.accel=[\"tcg\"", "--set qemu.accel=[\"tcg\": VALUE begins like JSON, but is none: "},
    {"qemu.append=\"a", "VALUE begins like JSON, but is none: line 1, column 1: the string"},
    {"layout=null", "conf/cvd.json: line 1: layout: missing"},
    {"foo", "--set foo: expected PATH=VALUE"},
    {"=1", "--set =1: expected PATH=VALUE"},
    {"a..b=1", "PATH has an empty part"},
    {"qemu.accel.x=1", "--set qemu.accel.x=1: accel: found an object; expected an"},
    {"window.size={\"a\":1,\"a\":2}", "a: stands twice"},
};

static void test_messages(Files *files, gconstpointer data)
{
    for (guint i = 0; i < G_N_ELEMENTS(messages); i++) {
        const char *overrides[] = {messages[i].override, NULL};
        g_assert_null(load(files, overrides));
        assert_problem(files, 0, messages[i].message);
    }
}

/* What a device refers to may be in qemu.json, or in what is passed on unread. */
static void test_references(Files *files, gconstpointer data)
{
    static const char *const rows[] = {
        "{\"netdevs\":[{\"type\":\"user\",\"id\":\"n\",\"hostfwd\":[{\"str\":\"tcp::1-:2\"}]}],"
        "\"devices\":[{\"driver\":\"x\",\"netdev\":\"n\"}]}",
        "{\"blockdevs\":[{\"driver\":\"x\",\"file\":{\"driver\":\"y\",\"node-name\":\"b\"}}],"
        "\"devices\":[{\"driver\":\"x\",\"drive\":\"b\"}]}",
        "{\"extra_args\":[\"-netdev\",\"user,id=n\"],"
        "\"devices\":[{\"driver\":\"x\",\"netdev\":\"n\"}]}",
        "{\"extra_args\":[\"-drive\",\"if=none\"],"
        "\"devices\":[{\"driver\":\"x\",\"drive\":\"none0\"}]}",
        "{\"devices\":[{\"driver\":\"x\",\"netdev\":1}]}",
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *qemu = g_strdup_printf("qemu=%s", rows[i]);
        cvd_config_free(load_good(files, (const char *[]){qemu, NULL}));
    }
}

/* Of 68 regions the descriptors fill their page, and the guest's word has no place. */
static void test_ready(Files *files, gconstpointer data)
{
    g_autoptr(GString) layout = g_string_new("layout={\"vsoc_device_regions\":[");
    const char *const asks = "lifecycle.ready=guest", *const pattern = "lifecycle.ready_pattern=x";

    assert_bad(files, (const char *[]){asks, pattern, "qemu.serial=none", NULL},
               "--set lifecycle.ready_pattern=x: lifecycle.ready_pattern: there is no console to "
               "look at, as qemu.serial is \"none\"");
    for (guint i = 0; i < 68; i++)
        g_string_append_printf(layout, "%s{\"device_name\":\"r%u\",\"region_size\":4096}",
                               i > 0 ? "," : "", i);
    g_string_append(layout, "]}");
    cvd_config_free(load_good(files, (const char *[]){layout->str, NULL}));
    cvd_config_free(load_good(files, (const char *[]){layout->str, asks, pattern, NULL}));
    assert_bad(
        files, (const char *[]){layout->str, asks, NULL},
        "--set lifecycle.ready=guest: lifecycle.ready: the descriptors of 68 regions leave no "
        "place for the word");
}

static void test_all_problems_at_once(Files *files, gconstpointer data)
{
    write_file("conf/cvd.json",
               "{\"nam\": 1,\r\n\"layout\": \"layout.json\", \"qemu\": \"qemu.json\","
               "\n\"limits\": {\"clients\":\n-1, \"clints\": 1},"
               "\"access\": [{\"user\": -1, \"mode\": \"ro\"}]}");
    write_file("conf/qemu.json",
               "{\"smp\": 0,\n\"memory\": true, \"kernel\": 1, \"append\": \"x\"}");
    write_file("conf/layout.json", "\n{\"vsoc_device_regions\": 3}");
    g_assert_null(load(files, (const char *[]){"lifecycle.stop=now", NULL}));
    /* What is refused is there all the same: a rule does not lack a user, nor append a kernel. */
    static const char *const problems[] = {
        "conf/cvd.json: line 1: nam: unknown key",
        "conf/cvd.json: line 4: limits.clients: found -1",
        "conf/cvd.json: line 4: limits.clints: unknown key",
        "conf/cvd.json: line 4: access[0].user: found -1",
        "--set lifecycle.stop=now: lifecycle.stop: found \"now\"",
        "conf/qemu.json: line 1: smp: found 0",
        "conf/qemu.json: line 2: memory: found true",
        "conf/qemu.json: line 2: kernel: found 1",
        "conf/layout.json: line 2: vsoc_device_regions: found 3",
    };
    for (guint i = 0; i < G_N_ELEMENTS(problems); i++)
        assert_problem(files, i, problems[i]);
    g_assert_cmpuint(files->problems->len, ==, G_N_ELEMENTS(problems));
}

static void test_missing_keys(Files *files, gconstpointer data)
{
    write_file("conf/cvd.json", "{}");
    g_assert_null(load(files, NULL));
    assert_problem(files, 0, "conf/cvd.json: line 1: qemu: missing; name a file");
    assert_problem(files, 1, "conf/cvd.json: line 1: layout: missing; name a file");
    g_assert_cmpuint(files->problems->len, ==, 2);
}

static void test_duplicates(Files *files, gconstpointer data)
{
    write_file("conf/qemu.json", "{\"smp\": 1,\n\"smp\": 2}");
    assert_bad(files, NULL, "conf/qemu.json: line 2: smp: stands twice");
}

/* Each of the three files, broken in each way. */
static void test_broken_files(Files *files, gconstpointer data)
{
    static const char *const names[] = {"conf/cvd.json", "conf/qemu.json", "conf/layout.json"};
    static const struct {
        const char *text; /* NULL: no file */
        const char *message;
    } rows[] = {
        {NULL, "No such file or directory"},
        {"", "empty"},
        {"{\"name\": ", "line 1, column 10: expected a value, found the end"},
        {"\x7f\x45\x4c\x46\x02\xff", "column 6: byte 0xff is not UTF-8"},
        {"{\"name\": 99999999999999999999}", "is out of range"},
        {"[]", "expected"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *good = NULL;
        g_assert_true(g_file_get_contents(names[i], &good, NULL, NULL));
        for (guint j = 0; j < G_N_ELEMENTS(rows); j++) {
            if (rows[j].text)
                write_file(names[i], rows[j].text);
            else
                g_assert_cmpint(g_unlink(names[i]), ==, 0);
            assert_bad(files, NULL, rows[j].message);
            assert_problem(files, 0, names[i]);
        }
        g_assert_cmpint(truncate(names[i], 100 * 1000 * 1000), ==, 0);
        assert_bad(files, NULL, "has 100000000 bytes; the limit is 1048576");
        write_file(names[i], good);
    }
}

/* The remedy is one for layout files alone. */
static void test_comments(Files *files, gconstpointer data)
{
    write_file("conf/layout.json", "{\n// x\n}");
    assert_bad(files, NULL,
               "conf/layout.json: line 2, column 1: a comment, which JSON does not have; "
               "remove it, or make it a \"comment\" key");
    write_file("conf/cvd.json", "{} /* x */");
    assert_bad(files, NULL, "line 1, column 4: a comment");
    g_assert_null(strstr(g_ptr_array_index(files->problems, 0), "key"));
}

static void test_name_option(Files *files, gconstpointer data)
{
    CvdConfigSource source = {.path = "conf/cvd.json", .name = "other"};
    g_autoptr(CvdConfig) config = cvd_config_load(&source, files->problems);
    g_assert_nonnull(config);
    g_assert_cmpstr(config->name, ==, "other");
    source.name = "../x";
    g_assert_null(cvd_config_load(&source, files->problems));
    assert_problem(files, 0, "--name: found \"../x\"; expected a string of 1 to 32");
}

/* Only the user's own folder and conf/ can be filled here; the others are seen to be looked at. */
static void test_find(Files *files, gconstpointer data)
{
    static const struct {
        const char *name;
        const char *found; /* "~": in the user's folder */
        const char *removed;
    } rows[] = {
        {"phone", "~phone.json", NULL},  {"../x", "conf/cvd.json", NULL},
        {"qemu", "conf/cvd.json", NULL}, {NULL, "conf/cvd.json", "conf/cvd.json"},
        {"tablet", "~cvd.json", NULL},   {NULL, "~cvd.json", NULL},
    };
    g_autofree char *own = g_build_filename(g_get_user_config_dir(), "cvd", NULL);
    static const char *const in_own[] = {"phone.json", "cvd.json", "qemu.json"};

    g_assert_cmpint(g_mkdir_with_parents(own, 0700), ==, 0);
    for (guint i = 0; i < G_N_ELEMENTS(in_own); i++) {
        g_autofree char *path = g_build_filename(own, in_own[i], NULL);
        write_file(path, "{}");
    }
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        gboolean is_own = *rows[i].found == '~';
        g_autofree char *expected =
            is_own ? g_build_filename(own, rows[i].found + 1, NULL) : g_strdup(rows[i].found);
        g_autofree char *found = cvd_config_find(rows[i].name, NULL);
        g_assert_cmpstr(found, ==, expected);
        if (rows[i].removed)
            g_assert_cmpint(g_unlink(rows[i].removed), ==, 0);
    }
    remove_tree(own);
}

static void test_find_nothing(Files *files, gconstpointer data)
{
    static const char system[] = CVD_TEST_SYSCONFDIR "/cvd";
    static const char shipped[] = CVD_TEST_DATADIR "/cvd";
    const char *own = g_get_user_config_dir();
    g_autofree char *expected = g_strdup_printf(
        "%s/cvd/phone.json, %s/phone.json, %s/phone.json, conf/cvd.json, %s/cvd/cvd.json, "
        "%s/cvd.json, %s/cvd.json",
        own, system, shipped, own, system, shipped);
    g_autofree char *places = NULL;

    g_assert_cmpint(g_unlink("conf/cvd.json"), ==, 0);
    g_autofree char *found = cvd_config_find("phone", &places);
    g_assert_cmpstr(places, ==, expected);
    if (g_file_test(system, G_FILE_TEST_EXISTS) || g_file_test(shipped, G_FILE_TEST_EXISTS))
        g_test_skip("this system has a configuration of its own");
    else
        g_assert_null(found);
}

/* What it names is relative to the current directory, as in a --set. */
static void test_standard_input(Files *files, gconstpointer data)
{
    const CvdConfigSource source = {.path = "-"};

    write_file("stdin", "{\"layout\": \"conf/layout.json\", \"qemu\": {\"kernel\": \"k\"}}");
    g_assert_nonnull(freopen("stdin", "r", stdin));
    g_autoptr(CvdConfig) config = cvd_config_load(&source, files->problems);
    g_assert_nonnull(config);
    g_autofree char *kernel = g_build_filename(files->directory, "k", NULL);
    g_assert_cmpstr(config->qemu.kernel, ==, kernel);

    write_file("stdin", "{\"layout\": \"conf/layout.json\", \"qemu\": {\"smp\": 0}}");
    g_assert_nonnull(freopen("stdin", "r", stdin));
    g_assert_null(cvd_config_load(&source, files->problems));
    assert_problem(files, 0, "standard input: line 1: qemu.smp: ");
}

/* Paths are relative to the file that has them, overridden ones to the current directory. */
static void test_relative_paths(Files *files, gconstpointer data)
{
    g_assert_cmpint(g_mkdir("sub", 0700), ==, 0);
    write_file("sub/q.json", "{\"kernel\": \"k\", \"initrd\": \"./i\"}");
    write_file("conf/cvd.json", "{\"layout\": \"./layout.json\", \"qemu\": \"../sub/q.json\"}");
    g_autoptr(CvdConfig) config =
        load_good(files, (const char *[]){"qemu.initrd=here/i", "sockets.vm=v", NULL});
    g_autofree char *kernel = g_build_filename(files->directory, "conf/../sub/k", NULL);
    g_autofree char *initrd = g_build_filename(files->directory, "here/i", NULL);
    g_autofree char *vm = g_build_filename(files->directory, "v", NULL);
    g_assert_cmpstr(config->qemu.kernel, ==, kernel);
    g_assert_cmpstr(config->qemu.initrd, ==, initrd);
    g_assert_cmpstr(config->vm_socket, ==, vm);
}

static void test_inline_objects(Files *files, gconstpointer data)
{
    write_file("conf/cvd.json", "{\"layout\": " LAYOUT ", \"qemu\": {\"smp\": 0}}");
    assert_bad(files, NULL, "conf/cvd.json: line 1: qemu.smp: found 0");
    g_autoptr(CvdConfig) config = load_good(files, (const char *[]){"qemu.smp=5", NULL});
    g_assert_cmpstr(config->qemu.smp, ==, "5");
    write_file("conf/cvd.json", "{\"layout\": {\"x\": 1}, \"qemu\": {}}");
    g_assert_null(load(files, NULL));
    assert_problem(files, 0,
                   "conf/cvd.json: line 1: layout.x: unknown key; known are vsoc_device_regions, ");
    assert_problem(files, 1,
                   "conf/cvd.json: line 1: layout.vsoc_device_regions: missing; give a list");
    g_assert_cmpuint(files->problems->len, ==, 2);
    write_file("conf/cvd.json", "{\"layout\": {\"vsoc_device_region\": []}, \"qemu\": {}}");
    assert_bad(files, NULL, "layout.vsoc_device_region: unknown key; did you mean");
    write_file("conf/cvd.json", "{\"layout\": {\"vsoc_device_regions\": []}, \"qemu\": {}}");
    assert_bad(files, NULL,
               "conf/cvd.json: line 1: layout.vsoc_device_regions: there are no regions");
}

static void test_override_values(Files *files, gconstpointer data)
{
    write_file("conf/qemu.json", "{\"devices\": [{\"driver\": \"a\"}, {\"driver\": \"b\"}]}");
    g_autoptr(CvdConfig) config = load_good(
        files, (const char *[]){"qemu.memory=4G", "qemu.memory=2G", "qemu.smp=\"2,maxcpus=3\"",
                                "qemu.devices.1.driver=c", "qemu.devices.2={\"driver\":\"e=f\"}",
                                "qemu.extra_args.0=-d", "lifecycle={\"stop\":\"quit\"}",
                                "qemu.append=a b=c", "qemu.kernel=/k", NULL});
    g_assert_cmpuint(config->qemu.memory_bytes, ==, G_GUINT64_CONSTANT(2) << 30);
    g_assert_cmpstr(config->qemu.smp, ==, "2,maxcpus=3");
    g_assert_cmpuint(g_strv_length(config->qemu.devices), ==, 3);
    g_assert_cmpstr(config->qemu.devices[0], ==, "{\"driver\":\"a\"}");
    g_assert_cmpstr(config->qemu.devices[1], ==, "{\"driver\":\"c\"}");
    g_assert_cmpstr(config->qemu.devices[2], ==, "{\"driver\":\"e=f\"}");
    g_assert_cmpstr(config->qemu.extra_args[0], ==, "-d");
    g_assert_cmpint(config->stop, ==, CVD_STOP_QUIT);
    g_assert_cmpstr(config->qemu.append, ==, "a b=c");

    assert_bad(files, (const char *[]){"qemu.devices.3.driver=x", NULL},
               "\"3\" is no index of the list; write 0 to 2, of which 2 appends");
    assert_bad(files, (const char *[]){"qemu.devices.-1=x", NULL}, "\"-1\" is no index");
    assert_bad(files, (const char *[]){"qemu.devices.0.driver.x=x", NULL}, "nothing to set \"x\"");
}

static void test_override_null(Files *files, gconstpointer data)
{
    write_file("conf/qemu.json", "{\"smp\": 7, \"kernel\": \"k\", \"append\": \"a\","
                                 " \"devices\": [{\"driver\": \"a\"}, {\"driver\": \"b\"}]}");
    g_autoptr(CvdConfig) config = load_good(
        files, (const char *[]){"qemu.smp=null", "qemu.devices.0=null", "qemu.devices.1=null",
                                "qemu.kernel=other", "qemu.kernel=null", "qemu.append=null",
                                "lifecycle.on_crash=null", "access=null", NULL});
    g_assert_null(config->qemu.smp);
    g_assert_null(config->qemu.kernel);
    g_assert_null(config->qemu.append);
    g_assert_cmpuint(g_strv_length(config->qemu.devices), ==, 1);
    g_assert_cmpstr(config->qemu.devices[0], ==, "{\"driver\":\"b\"}");
    assert_bad(files, (const char *[]){"qemu.devices.3=null", NULL}, "\"3\" is no index");
    assert_bad(files, (const char *[]){"qemu.smp.x=null", NULL}, "nothing to set \"x\"");

    write_file("conf/qemu.json", "{\"smp\": null}");
    assert_bad(files, NULL, "conf/qemu.json: line 1: smp: found null");
}

/* Problems stay readable. */
static void test_override_long(Files *files, gconstpointer data)
{
    g_autofree char *name = g_strnfill(80 - strlen("name="), 'x'); /* a name has 32 at most */
    g_autofree char *whole = g_strconcat("name=", name, NULL);
    g_autofree char *longer = g_strconcat(whole, "y", NULL);
    g_autofree char *shown = g_strdup_printf("--set %s: name: ", whole);
    g_autofree char *cut = g_strdup_printf("--set %s…: name: ", whole);
    assert_bad(files, (const char *[]){whole, NULL}, shown);
    assert_bad(files, (const char *[]){longer, NULL}, cut);
}

/* Trees are read and freed by recursion. */
static void test_override_depth(Files *files, gconstpointer data)
{
    GString *path = g_string_new("qemu.devices.0");
    for (guint n_parts = 3; n_parts < 64; n_parts++)
        g_string_append(path, ".a");
    g_autofree char *deepest = g_strconcat(path->str, "=1", NULL);
    g_autofree char *deeper = g_strconcat(path->str, ".a=1", NULL);
    g_string_free(path, TRUE);
    g_autoptr(CvdConfig) config =
        load_good(files, (const char *[]){deepest, "qemu.devices.0.driver=d", NULL});
    g_assert_cmpuint(g_strv_length(config->qemu.devices), ==, 1);
    assert_bad(files, (const char *[]){deeper, NULL}, "PATH has more than 64 parts");
}

static void test_override_layout(Files *files, gconstpointer data)
{
    g_autoptr(CvdConfig) config =
        load_good(files, (const char *[]){"layout.vsoc_device_regions.0.device_name=b",
                                          "layout.vsoc_device_regions.0.region_size=8192", NULL});
    g_assert_cmpstr(config->layout->regions[0].name, ==, "b");
    g_assert_cmpuint(config->layout->regions[0].end - config->layout->regions[0].begin, ==, 8192);
    assert_bad(files, (const char *[]){"layout.vsoc_device_regions.0.region_size=1", NULL},
               "--set layout.vsoc_device_regions.0.region_size=1: "
               "vsoc_device_regions[0].region_size: 1 is not a multiple of 4096");
    assert_bad(files, (const char *[]){"layout.vsoc_device_regions.0={\"region_size\":4096}", NULL},
               "--set layout.vsoc_device_regions.0={\"region_size\":4096}: "
               "vsoc_device_regions[0].device_name: ");
    assert_bad(files, (const char *[]){"layout.region_count=1x", NULL},
               "--set layout.region_count=1x: region_count: found \"1x\"");
    assert_bad(files,
               (const char *[]){"layout.vsoc_device_regions.1.device_name=b",
                                "layout.vsoc_device_regions.1.region_sise=4096", NULL},
               "--set layout.vsoc_device_regions.1.region_sise=4096: "
               "vsoc_device_regions[1].region_sise: unknown key; did you mean \"region_size\"?");
}

/* What the file broke is not put down to an option beside it. */
static void test_layout_beside_override(Files *files, gconstpointer data)
{
    write_file("conf/layout.json", "{\"vsoc_device_regions\": ["
                                   "{\"device_name\": \"a\", \"region_size\": 5000}]}");
    assert_bad(
        files, (const char *[]){"layout.vsoc_device_regions.0.current_version=1", NULL},
        "conf/layout.json: line 1: vsoc_device_regions[0].region_size: 5000 is not a multiple");
}

/* A file is replaced before values are put into it, whatever the order of the options. */
static void test_override_whole_files(Files *files, gconstpointer data)
{
    write_file("other.json", "{\"machine\": \"pc\", \"cpu\": \"max\"}");
    g_autoptr(CvdConfig) config =
        load_good(files, (const char *[]){"qemu.cpu=host", "qemu=other.json", NULL});
    g_assert_cmpstr(config->qemu.machine, ==, "pc");
    g_assert_cmpstr(config->qemu.cpu, ==, "host");

    g_autoptr(CvdConfig) inlined =
        load_good(files, (const char *[]){"qemu={\"kernel\":\"k\"}", "qemu.append=x", NULL});
    g_autofree char *kernel = g_build_filename(files->directory, "k", NULL);
    g_assert_cmpstr(inlined->qemu.kernel, ==, kernel);
    g_assert_cmpstr(inlined->qemu.append, ==, "x");
}

static void test_prealloc(Files *files, gconstpointer data)
{
    static const struct {
        const char *overrides[3];
        gboolean prealloc;
    } rows[] = {
        {{"window.size=4m"}, TRUE},
        {{"window.size=8M"}, FALSE},
        {{"window.size=8M", "window.prealloc=true"}, TRUE},
        {{"window.size=4M", "window.prealloc=false"}, FALSE},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(CvdConfig) config = load_good(files, rows[i].overrides);
        g_assert_cmpint(config->window.prealloc, ==, rows[i].prealloc);
    }
}

static void test_layout_file_of_2017(Files *files, gconstpointer data)
{
    static const char guest[] = "layout.guest={\"vmm_path\": \"/opt/q\","
                                " \"kernel_command_line\": [\"a=1\", \"b\"]}";
    g_autoptr(CvdConfig) config = load_good(files, (const char *[]){guest, "qemu.kernel=/k", NULL});
    g_assert_cmpstr(config->qemu.binary, ==, "/opt/q");
    g_assert_cmpstr(config->qemu.append, ==, "a=1 b");

    g_autoptr(CvdConfig) given = load_good(
        files, (const char *[]){guest, "qemu.kernel=/k", "qemu.append=c", "qemu.binary=d", NULL});
    g_assert_cmpstr(given->qemu.binary, ==, "d");
    g_assert_cmpstr(given->qemu.append, ==, "c");

    g_autofree char *relative = g_build_filename(files->directory, "b/q", NULL);
    g_autoptr(CvdConfig) overridden =
        load_good(files, (const char *[]){guest, "layout.guest.vmm_path=b/q", NULL});
    g_assert_cmpstr(overridden->qemu.binary, ==, relative);

    g_autoptr(CvdConfig) without_kernel = load_good(files, (const char *[]){guest, NULL});
    g_assert_null(without_kernel->qemu.append);
}

static void test_vcpus(void)
{
    static const struct {
        const char *smp;
        guint n_vcpus;
    } rows[] = {
        {NULL, 1},
        {"4", 4},
        {"2,maxcpus=8", 2},
        {"cpus=3,maxcpus=8", 3},
        {"maxcpus=8,cpus=5", 5},
        {"sockets=2", 1},
        {"0", 1},
        {"99999999", 4096},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        const CvdQemuConfig qemu = {.smp = (char *)rows[i].smp};
        g_assert_cmpuint(cvd_qemu_config_get_vcpus(&qemu), ==, rows[i].n_vcpus);
    }
}

static void test_socket_paths(Files *files, gconstpointer data)
{
    static const char *const keys[] = {"vm", "client", "legacy_client"};
    g_autofree char *longest = g_strnfill(107, 'x');
    longest[0] = '/';
    for (guint i = 0; i < G_N_ELEMENTS(keys); i++) {
        g_autofree char *fits = g_strdup_printf("sockets.%s=%s", keys[i], longest);
        g_autofree char *longer = g_strdup_printf("sockets.%s=%sx", keys[i], longest);
        g_autoptr(CvdConfig) config = load_good(files, (const char *[]){fits, NULL});
        const char *const paths[] = {config->vm_socket, config->client_socket,
                                     config->legacy_socket};
        g_assert_cmpstr(paths[i], ==, longest);
        assert_bad(files, (const char *[]){longer, NULL}, "107");
        assert_problem(files, 0, keys[i]);
    }
    assert_bad(files, (const char *[]){"sockets.vm=/x", "sockets.client=/x", NULL},
               "sockets: two sockets at /x");
}

static void test_runtime_directory_path(Files *files, gconstpointer data)
{
    g_autoptr(CvdConfig) config = load_good(files, NULL);
    /* The longest names there are client.sock and control.sock: with the slash 13 bytes. */
    g_autofree char *longest = g_strnfill(107 - 13, 'x');
    longest[0] = '/';
    g_assert_true(cvd_config_check_sockets(config, longest, files->problems));
    g_autofree char *longer = g_strconcat(longest, "x", NULL);
    g_assert_false(cvd_config_check_sockets(config, longer, files->problems));
    assert_problem(files, 0, longer);
    assert_problem(files, 0, "107");
}

/* None of its sockets fits; those that have paths of their own are not there. */
static void test_runtime_directory_of_few_sockets(Files *files, gconstpointer data)
{
    static const struct {
        const char *overrides[3];
        guint n_problems;
    } rows[] = {
        {{NULL}, 3},
        {{"sockets.vm=/v", NULL}, 2},
        {{"sockets.client=/c", NULL}, 2},
        {{"sockets.vm=/v", "sockets.client=/c", NULL}, 1},
    };
    g_autofree char *directory = g_strnfill(107, 'x');

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(CvdConfig) config = load_good(files, rows[i].overrides);
        g_assert_false(cvd_config_check_sockets(config, directory, files->problems));
        g_assert_cmpuint(files->problems->len, ==, rows[i].n_problems);
        g_ptr_array_set_size(files->problems, 0);
    }
}

static gboolean probe(Files *files, const char *const *overrides, CvdQemuTools *tools)
{
    g_autoptr(CvdConfig) config = load_good(files, overrides);
    return cvd_config_probe(config, tools, files->problems);
}

static void test_probe_binary(Files *files, gconstpointer data)
{
    static const struct {
        const char *override;
        const char *message;
    } rows[] = {
        {"qemu.binary=no-such-qemu", "no-such-qemu is not in PATH; install it (apt install qemu"},
        {"qemu.binary=./nowhere", "nowhere: No such file or directory; set qemu.binary"},
        {"qemu.binary=./file", "file: is not executable"},
        {"qemu.binary=./conf", "conf: is not a file"},
    };
    write_file("file", "");
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_auto(CvdQemuTools) tools = {0};
        const char *overrides[] = {"qemu.accel=tcg", rows[i].override, NULL};
        g_assert_false(probe(files, overrides, &tools));
        assert_problem(files, 0, rows[i].message);
        g_assert_cmpuint(files->problems->len, ==, 1);
        g_assert_null(tools.binary);
    }
    g_assert_cmpint(g_chmod("file", 0700), ==, 0);
    g_auto(CvdQemuTools) tools = {0};
    g_assert_true(
        probe(files, (const char *[]){"qemu.accel=tcg", "qemu.binary=./file", NULL}, &tools));
    g_autofree char *path = g_build_filename(files->directory, "file", NULL);
    g_assert_cmpstr(tools.binary, ==, path);
}

static void test_probe_looks_in_path(Files *files, gconstpointer data)
{
    g_auto(CvdQemuTools) tools = {0};
    g_assert_true(probe(files, (const char *[]){"qemu.accel=tcg", "qemu.binary=sh", NULL}, &tools));
    g_assert_true(g_path_is_absolute(tools.binary));
    g_assert_true(g_str_has_suffix(tools.binary, "/sh"));
}

static void test_probe_files(Files *files, gconstpointer data)
{
    g_auto(CvdQemuTools) tools = {0};
    g_assert_false(
        probe(files,
              (const char *[]){"qemu.accel=tcg", "qemu.binary=sh", "qemu.kernel=nokernel",
                               "qemu.initrd=conf", "qemu.firmware=./nofirmware", NULL},
              &tools));
    assert_problem(files, 0, "qemu.kernel: ");
    assert_problem(files, 0, "nokernel: No such file or directory; name a kernel that exists");
    assert_problem(files, 1, "qemu.initrd: ");
    assert_problem(files, 1, "is a directory");
    assert_problem(files, 2, "qemu.firmware: ");
    g_assert_cmpuint(files->problems->len, ==, 3);
    g_assert_nonnull(tools.binary); /* which can be asked for more problems */

    /* QEMU would wait for the writer of a FIFO, and seeks. */
    g_ptr_array_set_size(files->problems, 0);
    g_assert_false(probe(
        files, (const char *[]){"qemu.accel=tcg", "qemu.binary=sh", "qemu.kernel=/dev/null", NULL},
        &tools));
    assert_problem(files, 0, "qemu.kernel: /dev/null: is not a regular file; name a kernel");

    /* QEMU looks for bare names of firmware among its own. */
    g_assert_true(
        probe(files,
              (const char *[]){"qemu.accel=tcg", "qemu.binary=sh", "qemu.kernel=conf/cvd.json",
                               "qemu.firmware=bios.bin", NULL},
              &tools));
}

static void test_probe_unreadable_kernel(Files *files, gconstpointer data)
{
    if (geteuid() == 0) {
        g_test_skip("root can read everything");
        return;
    }
    g_auto(CvdQemuTools) tools = {0};
    write_file("kernel", "");
    g_assert_cmpint(g_chmod("kernel", 0), ==, 0);
    g_assert_false(probe(
        files, (const char *[]){"qemu.accel=tcg", "qemu.binary=sh", "qemu.kernel=kernel", NULL},
        &tools));
    assert_problem(files, 0, "kernel: Permission denied");
}

/* Of every disk, however deep, and of disks alone. */
static void test_probe_disks(Files *files, gconstpointer data)
{
    static const char *const good[] = {
        "{\"driver\":\"file\",\"filename\":\"conf/cvd.json\"}",
        "{\"driver\":\"host_device\",\"filename\":\"/dev/null\"}",
        "{\"driver\":\"file\",\"filename\":\"/dev/fdset/3\"}",
        "{\"driver\":\"null-co\"}",
        "{\"driver\":\"nbd\",\"server\":{\"type\":\"unix\",\"path\":\"nosuch\"}}",
    };
    static const struct {
        const char *disk;
        const char *message;
    } bad[] = {
        {"{\"driver\":\"file\",\"filename\":\"nodisk\"}",
         "/nodisk: No such file or directory; name an image that exists"},
        {"{\"driver\":\"qcow2\",\"file\":{\"driver\":\"file\",\"filename\":\"/no/disk\"}}",
         "/no/disk: No such file"},
        {"{\"driver\":\"quorum\",\"children\":[{\"driver\":\"file\",\"filename\":\"conf\"}]}",
         "/conf: is a directory"},
    };
    g_auto(CvdQemuTools) tools = {0};

    for (guint i = 0; i < G_N_ELEMENTS(good); i++) {
        g_autofree char *disk = g_strdup_printf("qemu.blockdevs.0=%s", good[i]);
        const char *overrides[] = {"qemu.accel=tcg", "qemu.binary=sh", disk, NULL};
        g_auto(CvdQemuTools) found = {0};
        g_assert_true(probe(files, overrides, &found));
    }
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *disk = g_strdup_printf("qemu.blockdevs.0=%s", bad[i].disk);
        const char *overrides[] = {"qemu.accel=tcg", "qemu.binary=sh", disk, NULL};
        g_assert_false(probe(files, overrides, &tools));
        assert_problem(files, 0, bad[i].message);
        g_assert_cmpuint(files->problems->len, ==, 1);
    }
}

/* At @offset of an image that is otherwise empty. */
static void write_kernel(const char *start, gsize offset, const char *magic)
{
    char image[1024] = {0};
    g_autoptr(GError) error = NULL;

    memcpy(image, start, strlen(start));
    memcpy(image + offset, magic, strlen(magic));
    g_file_set_contents("kernel", image, sizeof image, &error);
    g_assert_no_error(error);
}

static void test_probe_architecture(Files *files, gconstpointer data)
{
    static const struct {
        const char *binary;
        const char *start;
        gsize offset;
        const char *magic;
        const char *architecture; /* NULL: suits, or is not known */
    } rows[] = {
        {"qemu-system-x86_64", "MZ", 0x202, "HdrS", NULL},
        {"qemu-system-x86_64",
         "\x7f"
         "ELF",
         18, "\x3e", NULL},
        {"qemu-system-x86_64",
         "\x7f"
         "ELF",
         18, "\x03", NULL},
        {"qemu-system-x86_64-microvm",
         "\x7f"
         "ELF",
         18, "\xb7", "arm64"},
        {"qemu-system-x86_64", "MZ", 56, "ARM\x64", "arm64"},
        {"qemu-system-x86_64", "MZ", 56, "RSC\x05", "RISC-V"},
        {"qemu-system-i386",
         "\x7f"
         "ELF",
         18, "\x3e", "x86-64"},
        {"qemu-system-i386", "MZ", 0x202, "HdrS", NULL},
        {"qemu-system-aarch64", "MZ", 0x202, "HdrS", "x86"},
        {"qemu-system-aarch64", "MZ", 56, "ARM\x64", NULL},
        {"qemu-system-aarch64",
         "\x7f"
         "ELF",
         18, "\x28", NULL},
        {"qemu-system-wrapper", "MZ", 56, "ARM\x64", NULL},
        {"my-qemu", "MZ", 56, "ARM\x64", NULL},
        {"qemu-system-x86_64", "\x1f\x8b", 18, "\xb7", NULL},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *binary = g_strdup_printf("qemu.binary=./%s", rows[i].binary);
        g_autofree char *message =
            g_strdup_printf("kernel is a kernel for %s, which ", rows[i].architecture);
        const char *overrides[] = {"qemu.accel=tcg", binary, "qemu.kernel=kernel", NULL};
        g_auto(CvdQemuTools) tools = {0};

        write_kernel(rows[i].start, rows[i].offset, rows[i].magic);
        write_file(rows[i].binary, "");
        g_assert_cmpint(g_chmod(rows[i].binary, 0700), ==, 0);
        g_assert_cmpint(probe(files, overrides, &tools), ==, rows[i].architecture == NULL);
        if (rows[i].architecture)
            assert_problem(files, 0, message);
    }
}

static void test_probe_accel(Files *files, gconstpointer data)
{
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    gboolean has_kvm = fd >= 0 && ioctl(fd, KVM_GET_API_VERSION, 0) == 12;
    if (fd >= 0)
        close(fd);

    g_auto(CvdQemuTools) both = {0};
    static const char both_accels[] = "qemu.accel=[\"kvm,kernel-irqchip=split\", \"tcg\"]";
    g_assert_true(probe(files, (const char *[]){"qemu.binary=sh", both_accels, NULL}, &both));
    g_assert_cmpuint(g_strv_length(both.accel), ==, has_kvm ? 2 : 1);
    g_assert_cmpstr(both.accel[0], ==, has_kvm ? "kvm,kernel-irqchip=split" : "tcg");

    g_auto(CvdQemuTools) kvm = {0};
    g_assert_cmpint(probe(files, (const char *[]){"qemu.binary=sh", "qemu.accel=kvm", NULL}, &kvm),
                    ==, has_kvm);
    if (!has_kvm) {
        assert_problem(files, 0, "qemu.accel: /dev/kvm: ");
        assert_problem(files, 0, "or set qemu.accel to \"tcg\"");
    }

    g_auto(CvdQemuTools) other = {0};
    g_assert_true(probe(
        files, (const char *[]){"qemu.binary=sh", "qemu.accel=[\"hvf\",\"tcg\"]", NULL}, &other));
    g_assert_cmpuint(g_strv_length(other.accel), ==, 1);
    g_assert_cmpstr(other.accel[0], ==, "tcg");
    g_assert_false(
        probe(files, (const char *[]){"qemu.binary=sh", "qemu.accel=hvf", NULL}, &other));
    assert_problem(files, 0,
                   "qemu.accel: hvf is for macOS; name kvm, or set qemu.accel to \"tcg\"");
    g_ptr_array_set_size(files->problems, 0);
    g_assert_false(probe(
        files, (const char *[]){"qemu.binary=sh", "qemu.accel=tgc,thread=single", NULL}, &other));
    assert_problem(files, 0, "qemu.accel: no accelerator is called tgc,thread=single; name kvm");
}

static void test_probe_cpu(Files *files, gconstpointer data)
{
    g_auto(CvdQemuTools) tools = {0};
    g_auto(CvdQemuTools) other = {0};

    g_assert_false(probe(
        files, (const char *[]){"qemu.binary=sh", "qemu.accel=tcg", "qemu.cpu=host,-avx", NULL},
        &tools));
    assert_problem(files, 0,
                   "qemu.cpu: only KVM has the processor \"host\", and the accelerator is tcg");
    g_assert_true(
        probe(files, (const char *[]){"qemu.binary=sh", "qemu.accel=tcg", "qemu.cpu=hostile", NULL},
              &other));
}

static guint n_warnings;

static GLogWriterOutput count_warnings(GLogLevelFlags level, const GLogField *fields,
                                       gsize n_fields, gpointer data)
{
    if ((level & G_LOG_LEVEL_WARNING) == 0)
        return g_log_writer_default(level, fields, n_fields, data);
    n_warnings++;
    return G_LOG_WRITER_HANDLED;
}

/* What QEMU would die of in its sandbox, and what looks like it. */
static void test_probe_programs(Files *files, gconstpointer data)
{
    static const struct {
        const char *override;
        guint n_warnings;
    } rows[] = {
        {"qemu.netdevs.0={\"type\":\"tap\",\"id\":\"n\"}", 1},
        {"qemu.netdevs.0={\"type\":\"tap\",\"id\":\"n\",\"script\":\"no\"}", 1},
        {"qemu.netdevs.0={\"type\":\"tap\",\"id\":\"n\",\"downscript\":\"no\",\"script\":\"up\"}",
         1},
        {"qemu.netdevs.0={\"type\":\"tap\",\"id\":\"n\",\"downscript\":\"no\",\"script\":\"\"}", 0},
        {"qemu.netdevs.0={\"type\":\"tap\",\"id\":\"n\",\"fd\":\"3\"}", 0},
        {"qemu.netdevs.0={\"type\":\"bridge\",\"id\":\"n\"}", 1},
        {"qemu.netdevs.0={\"type\":\"user\",\"id\":\"n\",\"smb\":\"/srv\"}", 1},
        {"qemu.netdevs.0={\"type\":\"user\",\"id\":\"n\",\"guestfwd\":"
         "[{\"str\":\"tcp:10.0.2.9:7-cmd:cat\"}]}",
         1},
        {"qemu.netdevs.0={\"type\":\"user\",\"id\":\"bridge\"}", 0},
        {"qemu.extra_args=[\"-incoming\", \"exec:cat state\"]", 1},
        {"qemu.extra_args=[\"-incoming\", \"defer\"]", 0},
        {"qemu.extra_args=[\"-netdev\", \"bridge,id=n\"]", 1},
        {"qemu.extra_args=[\"--nic\", \"tap,model=e1000\"]", 1},
        {"qemu.extra_args=[\"-net\", \"type=tap,script=no\"]", 1},
        {"qemu.extra_args=[\"-net\", \"tap,script=no,downscript=no\"]", 0},
        {"qemu.extra_args=[\"-netdev\", \"tap,id=n,fd=3\"]", 0},
        {"qemu.extra_args=[\"-netdev\", \"user,id=n,smb=/srv\"]", 1},
        {"qemu.extra_args=[\"-nic\", \"user\", \"-name\", \"tap\"]", 0},
        {"qemu.extra_args=[\"-nic\", \"\"]", 0},
    };
    static const char *const sandboxes[] = {"true", "on,spawn=allow", "false"};

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        for (guint j = 0; j < G_N_ELEMENTS(sandboxes); j++) {
            g_autofree char *sandbox = g_strdup_printf("qemu.sandbox=%s", sandboxes[j]);
            const char *overrides[] = {"qemu.accel=tcg", "qemu.binary=sh", rows[i].override,
                                       sandbox, NULL};
            g_auto(CvdQemuTools) tools = {0};
            n_warnings = 0;
            g_assert_true(probe(files, overrides, &tools));
            g_assert_cmpuint(n_warnings, ==, j == 0 ? rows[i].n_warnings : 0);
        }
    }
}

/* As where another user has put conf/ into /tmp. */
static void test_find_foreign(Files *files, gconstpointer data)
{
    static const char *const given_away[] = {"conf", "conf/cvd.json"};
    g_autofree char *own = g_build_filename(g_get_user_config_dir(), "cvd", NULL);
    g_autofree char *expected = g_build_filename(own, "cvd.json", NULL);

    if (geteuid() != 0) {
        g_test_skip("needs root");
        return;
    }
    g_assert_cmpint(g_mkdir_with_parents(own, 0700), ==, 0);
    write_file(expected, "{}");
    for (guint i = 0; i < G_N_ELEMENTS(given_away); i++) {
        g_autofree char *before = cvd_config_find(NULL, NULL);
        g_assert_cmpstr(before, ==, "conf/cvd.json");
        g_assert_no_errno(chown(given_away[i], 1000000, 1000000));
        n_warnings = 0;
        g_autofree char *found = cvd_config_find(NULL, NULL);
        g_assert_cmpstr(found, ==, expected);
        g_assert_cmpuint(n_warnings, ==, 1);
        g_assert_no_errno(chown(given_away[i], 0, 0));
    }
    remove_tree(own);
}

static void add(const char *path, void (*test)(Files *, gconstpointer))
{
    g_test_add(path, Files, NULL, files_set_up, test, files_tear_down);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_log_set_writer_func(count_warnings, NULL, NULL);
    g_autofree char *home = g_dir_make_tmp("cvd-home-XXXXXX", NULL);
    g_setenv("XDG_CONFIG_HOME", home, TRUE); /* before GLib remembers another */
    add("/config/defaults", test_defaults);
    add("/config/qemu-defaults", test_qemu_defaults);
    add("/config/every-key", test_every_key);
    add("/config/every-qemu-key", test_every_qemu_key);
    add("/config/origins", test_origins);
    add("/config/origins-in-one-file", test_origins_inline);
    add("/config/explanation-loads", test_explanation_loads);
    add("/config/format-loads", test_format_loads);
    add("/config/relative-files", test_relative_files);
    add("/config/messages", test_messages);
    add("/config/ready", test_ready);
    add("/config/references", test_references);
    add("/config/other-directories", test_other_directories);
    add("/config/long-paths", test_long_paths);
    add("/config/all-problems-at-once", test_all_problems_at_once);
    add("/config/missing-keys", test_missing_keys);
    add("/config/duplicates", test_duplicates);
    add("/config/broken-files", test_broken_files);
    add("/config/comments", test_comments);
    add("/config/name-option", test_name_option);
    add("/config/find", test_find);
    add("/config/find-nothing", test_find_nothing);
    add("/config/find-foreign", test_find_foreign);
    add("/config/relative-paths", test_relative_paths);
    add("/config/standard-input", test_standard_input);
    add("/config/inline-objects", test_inline_objects);
    add("/config/override-values", test_override_values);
    add("/config/override-null", test_override_null);
    add("/config/override-depth", test_override_depth);
    add("/config/override-that-is-long", test_override_long);
    add("/config/override-layout", test_override_layout);
    add("/config/layout-beside-override", test_layout_beside_override);
    add("/config/override-whole-files", test_override_whole_files);
    add("/config/prealloc", test_prealloc);
    add("/config/layout-file-of-2017", test_layout_file_of_2017);
    g_test_add_func("/config/vcpus", test_vcpus);
    add("/config/socket-paths", test_socket_paths);
    add("/config/runtime-directory-path", test_runtime_directory_path);
    add("/config/runtime-directory-of-few-sockets", test_runtime_directory_of_few_sockets);
    add("/config/probe/binary", test_probe_binary);
    add("/config/probe/looks-in-path", test_probe_looks_in_path);
    add("/config/probe/files", test_probe_files);
    add("/config/probe/unreadable-kernel", test_probe_unreadable_kernel);
    add("/config/probe/disks", test_probe_disks);
    add("/config/probe/architecture", test_probe_architecture);
    add("/config/probe/accel", test_probe_accel);
    add("/config/probe/cpu", test_probe_cpu);
    add("/config/probe/programs", test_probe_programs);
    int status = g_test_run();
    g_assert_cmpint(g_rmdir(home), ==, 0);
    return status;
}
