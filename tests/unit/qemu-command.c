/* SPDX-License-Identifier: Apache-2.0 */
/* From a configuration to QEMU's arguments: qemu.json(5). */
#include "launcher/qemu/command.h"

#include <json-glib/json-glib.h>
#include <string.h>

static CvdLayout *make_layout(guint n_regions)
{
    g_autoptr(CvdLayoutSpec) spec = cvd_layout_spec_new();
    for (guint i = 0; i < n_regions; i++) {
        CvdRegionSpec *region = cvd_layout_spec_add_region(spec);
        region->name = g_strdup_printf("r%u", i);
        region->size = CVD_PAGE_SIZE;
    }
    g_autoptr(GPtrArray) problems =
        g_ptr_array_new_with_free_func((GDestroyNotify)cvd_layout_problem_free);
    CvdLayout *layout = cvd_layout_new(spec, problems);
    g_assert_nonnull(layout);
    return layout;
}

static char *no_strings[] = {NULL};
static char *tcg[] = {(char *)"tcg", NULL};

/* The least that a configuration holds; borrows everything but the layout. */
static CvdConfig make_config(CvdLayout *layout)
{
    return (CvdConfig){
        .name = (char *)"cvd-1",
        .layout = layout,
        .ivshmem_slot = 0x10,
        .on_reboot = CVD_ON_EVENT_CONTINUE,
        .qemu =
            {
                .binary = (char *)"qemu",
                .machine = (char *)"q35",
                .accel = tcg,
                .memory_bytes = 512 << 20,
                .objects = no_strings,
                .blockdevs = no_strings,
                .chardevs = no_strings,
                .netdevs = no_strings,
                .tpmdevs = no_strings,
                .devices = no_strings,
                .serial = CVD_SERIAL_NONE,
                .display = (char *)"none",
                .extra_args = no_strings,
            },
    };
}

static char **build(const CvdConfig *config)
{
    const CvdQemuTools tools = {.binary = (char *)"/usr/bin/qemu", .accel = config->qemu.accel};
    return cvd_qemu_command(config, &tools, NULL, NULL);
}

#define HEAD "/usr/bin/qemu|-nodefaults|-no-user-config|-S|-name|cvd-1|"

/* @expected: with a bar between arguments */
static void assert_argv(char **argv, const char *expected)
{
    g_autofree char *got = g_strjoinv("|", argv);

    g_assert_cmpstr(got, ==, expected);
}

/* The value after the first @option, or NULL. */
static const char *value_of(char **argv, const char *option)
{
    for (; *argv; argv++) {
        if (strcmp(*argv, option) == 0)
            return argv[1];
    }
    return NULL;
}

static void test_least(void)
{
    g_autoptr(CvdLayout) layout = make_layout(3);
    const CvdConfig config = make_config(layout);
    g_auto(GStrv) argv = build(&config);
    assert_argv(
        argv,
        HEAD "-machine|q35|"
             "-accel|tcg|"
             "-m|512M|"
             "-chardev|socket,id=qmp,fd=4|"
             "-mon|chardev=qmp,mode=control|"
             "-chardev|socket,id=ivshmem,fd=3|"
             "-device|{\"driver\":\"ivshmem-doorbell\",\"id\":\"ivshmem\",\"chardev\":\"ivshmem\","
             "\"vectors\":3,\"addr\":\"0x10\"}|"
             "-device|{\"driver\":\"pvpanic\"}|"
             "-display|none");
}

static void test_everything(void)
{
    g_autoptr(CvdLayout) layout = make_layout(1);
    CvdConfig config = make_config(layout);
    char *accel[] = {(char *)"kvm,kernel-irqchip=split", (char *)"tcg", NULL};
    char *objects[] = {(char *)"{\"qom-type\":\"o\"}", NULL};
    char *blockdevs[] = {(char *)"{\"driver\":\"b\"}", NULL};
    char *chardevs[] = {(char *)"{\"id\":\"c\",\"backend\":{\"type\":\"null\"}}", NULL};
    char *netdevs[] = {(char *)"{\"type\":\"n\"}", NULL};
    char *tpmdevs[] = {(char *)"{\"id\":\"t\",\"type\":\"passthrough\"}", NULL};
    char *devices[] = {(char *)"{\"driver\":\"d\"}", (char *)"{\"driver\":\"e\"}", NULL};
    char *extra[] = {(char *)"-d", (char *)"", (char *)"-x", NULL};
    config.ivshmem_slot = 0x1f;
    config.on_reboot = CVD_ON_EVENT_EXIT;
    config.qemu = (CvdQemuConfig){
        .machine = (char *)"pc,usb=off",
        .accel = accel,
        .cpu = (char *)"max,+x2apic",
        .smp = (char *)"2,maxcpus=4",
        .memory_bytes = 1536 * 1024,
        .memory_shared = TRUE,
        .kernel = (char *)"/k,1",
        .initrd = (char *)"/i,2",
        .append = (char *)"a=1,2 b",
        .firmware = (char *)"/f,3",
        .objects = objects,
        .blockdevs = blockdevs,
        .chardevs = chardevs,
        .netdevs = netdevs,
        .tpmdevs = tpmdevs,
        .devices = devices,
        .display = (char *)"gtk,gl=on",
        .sandbox = (char *)"on,spawn=allow",
        .extra_args = extra,
        .watchdog_s = 30,
    };
    g_auto(GStrv) argv = build(&config);
    assert_argv(
        argv,
        HEAD "-machine|pc,usb=off,memory-backend=cvd-ram|"
             "-accel|kvm,kernel-irqchip=split|"
             "-accel|tcg|"
             "-cpu|max,+x2apic|"
             "-smp|2,maxcpus=4|"
             "-m|1572864B|"
             "-kernel|/k,1|"
             "-initrd|/i,2|"
             "-append|a=1,2 b i6300esb.heartbeat=30|"
             "-bios|/f,3|"
             "-chardev|socket,id=qmp,fd=4|"
             "-mon|chardev=qmp,mode=control|"
             "-chardev|socket,id=serial,fd=5|"
             "-serial|chardev:serial|"
             "-chardev|socket,id=ivshmem,fd=3|"
             "-device|{\"driver\":\"ivshmem-doorbell\",\"id\":\"ivshmem\",\"chardev\":\"ivshmem\","
             "\"vectors\":1,\"addr\":\"0x1f\"}|"
             "-object|{\"qom-type\":\"memory-backend-memfd\",\"id\":\"cvd-ram\","
             "\"size\":1572864,\"share\":true}|"
             "-object|{\"qom-type\":\"o\"}|"
             "-chardev|null,id=c|"
             "-blockdev|{\"driver\":\"b\"}|"
             "-netdev|{\"type\":\"n\"}|"
             "-tpmdev|passthrough,id=t|"
             "-device|{\"driver\":\"d\"}|"
             "-device|{\"driver\":\"e\"}|"
             "-device|{\"driver\":\"pvpanic\"}|"
             "-device|{\"driver\":\"i6300esb\"}|"
             "-action|watchdog=pause|"
             "-display|gtk,gl=on|"
             "-action|reboot=shutdown|"
             "-sandbox|on,spawn=allow|"
             "-d||"
             "-x");
}

/* The RAM is a file: the launcher's, a snapshot's, or for somebody else's QEMU one without a name.
 */
static void test_migratable(void)
{
#define OBJECT(KIND, SHARE, MORE)                                                                  \
    "{\"qom-type\":\"memory-backend-" KIND                                                         \
    "\",\"id\":\"cvd-ram\",\"size\":536870912,\"share\":" SHARE MORE "}"
    static const struct {
        CvdQemuOrigin origin;
        const char *object;
        const char *incoming;
    } rows[] = {
        {{0}, OBJECT("memfd", "true", ""), NULL},
        {{.ram_path = "/proc/self/fd/6"},
         OBJECT("file", "true", ",\"mem-path\":\"/proc/self/fd/6\""),
         NULL},
        {{.ram_path = "/a,b/\"c\"/ram", .is_private = TRUE, .is_incoming = TRUE},
         OBJECT("file", "false", ",\"mem-path\":\"/a,b/\\\"c\\\"/ram\""),
         "defer"},
        {{.ram_path = "/ram", .is_private = TRUE, .is_read_only = TRUE, .is_incoming = TRUE},
         OBJECT("file", "false", ",\"mem-path\":\"/ram\",\"readonly\":true,\"rom\":\"off\""),
         "defer"},
        {{.is_incoming = TRUE}, OBJECT("memfd", "true", ""), "defer"},
    };
    g_autoptr(CvdLayout) layout = make_layout(1);
    const CvdQemuTools tools = {.binary = (char *)"/usr/bin/qemu", .accel = tcg};

    for (guint i = 0; i < 2 * G_N_ELEMENTS(rows); i++) {
        CvdConfig config = make_config(layout);
        config.ivshmem_migratable = TRUE;
        config.qemu.memory_shared = i % 2 == 1;
        g_auto(GStrv) argv = cvd_qemu_command(&config, &tools, NULL, &rows[i / 2].origin);
        g_assert_cmpstr(value_of(argv, "-machine"), ==, "q35,memory-backend=cvd-ram");
        g_assert_cmpstr(value_of(argv, "-object"), ==, rows[i / 2].object);
        g_assert_cmpstr(value_of(argv, "-incoming"), ==, rows[i / 2].incoming);
        g_assert_cmpstr(value_of(argv, "-device"), ==,
                        "{\"driver\":\"ivshmem-doorbell\",\"id\":\"ivshmem\",\"chardev\":"
                        "\"ivshmem\",\"vectors\":1,\"addr\":\"0x10\",\"master\":\"on\"}");
    }
}

static void test_vectors_are_regions(void)
{
    static const guint counts[] = {1, 2, 2048};
    for (guint i = 0; i < G_N_ELEMENTS(counts); i++) {
        g_autoptr(CvdLayout) layout = make_layout(counts[i]);
        const CvdConfig config = make_config(layout);
        g_auto(GStrv) argv = build(&config);
        g_autoptr(JsonNode) device = json_from_string(value_of(argv, "-device"), NULL);
        g_assert_nonnull(device);
        g_assert_cmpint(json_object_get_int_member(json_node_get_object(device), "vectors"), ==,
                        counts[i]);
    }
}

/* A number without a unit means MiB to QEMU. */
static void test_memory(void)
{
    static const struct {
        guint64 bytes;
        const char *value;
    } rows[] = {
        {1 << 20, "1M"},
        {(1 << 20) + 1, "1048577B"},
        {G_GUINT64_CONSTANT(4) << 30, "4096M"},
        {G_GUINT64_CONSTANT(1) << 44, "16777216M"},
    };
    g_autoptr(CvdLayout) layout = make_layout(1);
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        CvdConfig config = make_config(layout);
        config.qemu.memory_bytes = rows[i].bytes;
        g_auto(GStrv) argv = build(&config);
        g_assert_cmpstr(value_of(argv, "-m"), ==, rows[i].value);
    }
}

static void test_attach_args(void)
{
    g_autoptr(CvdLayout) layout = make_layout(4);
    const CvdConfig config = make_config(layout);
    g_auto(GStrv) argv = cvd_qemu_attach_args(&config, "/run/a,b/vm.sock");
    assert_argv(
        argv, "-chardev|socket,id=ivshmem,path=/run/a,,b/vm.sock|"
              "-device|{\"driver\":\"ivshmem-doorbell\",\"id\":\"ivshmem\",\"chardev\":\"ivshmem\","
              "\"vectors\":4,\"addr\":\"0x10\"}");
}

/* For another shell, in which no descriptor means anything. */
static void test_by_path(void)
{
    g_autoptr(CvdLayout) layout = make_layout(4);
    CvdConfig config = make_config(layout);
    CvdQemuTools tools = {.binary = (char *)"/usr/bin/qemu", .accel = tcg};
    config.qemu.serial = CVD_SERIAL_LOG;
    g_auto(GStrv) argv = cvd_qemu_command(&config, &tools, "/run/a,b/vm.sock", NULL);
    const char *const *all = (const char *const *)argv;
    g_assert_true(g_strv_contains(all, "socket,id=ivshmem,path=/run/a,,b/vm.sock"));
    g_assert_true(g_strv_contains(all, "stdio,id=qmp"));
    g_assert_true(g_strv_contains(all, "null,id=serial"));
}

static gboolean has_argument(char **argv, const char *text)
{
    return g_strv_contains((const char *const *)argv, text);
}

/* Sockets of host programs are descriptors to a QEMU of ours, and paths to one of somebody else's.
 */
static void test_sockets(void)
{
    static CvdSocketConfig sockets[] = {{(char *)"fs", CVD_SOCKET_LISTEN},
                                        {(char *)"net", CVD_SOCKET_PAIR}};
    static CvdProgramConfig programs[] = {
        {.name = (char *)"other", .sockets = NULL},
        {.name = (char *)"back,end", .sockets = sockets, .n_sockets = G_N_ELEMENTS(sockets)},
    };
    static char *chardevs[] = {
        (char *)"{\"id\":\"c\",\"backend\":{\"type\":\"socket\",\"data\":{\"addr\":{\"type\":"
                "\"fd\",\"data\":{\"str\":\"${socket:fs}\"}},\"server\":false}}}",
        (char *)"{\"id\":\"f\",\"backend\":{\"type\":\"file\",\"out\":\"${config_dir}/a\"}}", NULL};
    static char *netdevs[] = {
        (char *)"{\"type\":\"stream\",\"id\":\"n\",\"addr\":{\"type\":\"fd\",\"str\":"
                "\"${socket:net}\"}}",
        (char *)"{\"type\":\"user\",\"id\":\"u\",\"guestfwd\":[{\"str\":\"a$$b-${name}\"}]}", NULL};
    g_autoptr(CvdLayout) layout = make_layout(1);
    CvdConfig config = make_config(layout);
    const CvdQemuTools tools = {.binary = (char *)"/usr/bin/qemu", .accel = tcg};

    config.directory = (char *)"/a,b";
    config.programs = programs;
    config.n_programs = G_N_ELEMENTS(programs);
    config.qemu.chardevs = chardevs;
    config.qemu.netdevs = netdevs;
    g_auto(GStrv) ours = cvd_qemu_command(&config, &tools, NULL, NULL);
    g_assert_true(has_argument(ours, "socket,id=c,fd=7,server=off"));
    g_assert_true(has_argument(ours, "file,id=f,path=/a,,b/a"));
    g_assert_true(has_argument(
        ours, "{\"type\":\"stream\",\"id\":\"n\",\"addr\":{\"type\":\"fd\",\"str\":\"8\"}}"));
    g_assert_true(has_argument(
        ours, "{\"type\":\"user\",\"id\":\"u\",\"guestfwd\":[{\"str\":\"a$b-cvd-1\"}]}"));

    g_auto(GStrv) others = cvd_qemu_command(&config, &tools, "/run/vm.sock", NULL);
    g_assert_true(
        has_argument(others, "socket,id=c,path=/run/test/cvd-1/back,,end-fs.sock,server=off"));
    g_assert_true(has_argument(others,
                               "{\"type\":\"stream\",\"id\":\"n\",\"addr\":{\"type\":"
                               "\"unix\",\"path\":\"/run/test/cvd-1/back,end-net.sock\"}}"));
}

static void test_quoted_by_lines(void)
{
    static const char *const argv[] = {"/usr/bin/qemu", "-S", "-name", "a", "-append", "x y", NULL};
    g_autofree char *text = cvd_quote_command(argv);
    g_assert_cmpstr(text, ==,
                    "/usr/bin/qemu \\\n"
                    "    -S \\\n"
                    "    -name a \\\n"
                    "    -append 'x y'\n");
}

/* Arguments to be pasted behind a program. */
static void test_quoted_without_program(void)
{
    static const char *const argv[] = {"-chardev", "a", "-device", "b", NULL};
    g_autofree char *text = cvd_quote_command(argv);
    g_assert_cmpstr(text, ==,
                    "-chardev a \\\n"
                    "    -device b\n");
}

/* Whatever is in the arguments, a shell finds them again. */
static void test_quoted_survives_a_shell(void)
{
    static const char *const argv[] = {"printf", "%s\\n",  "-a",   "",       "it's",
                                       "$HOME",  "`x`",    "a\"b", "back\\", "*",
                                       "~",      "#",      "-",    "{a,b}",  "tab\tnew\nline",
                                       "!x",     "a;b&c|", "ä",    NULL};
    g_autofree char *text = cvd_quote_command(argv);
    g_autofree char *output = NULL;
    g_autoptr(GError) error = NULL;
    const char *const shell[] = {"sh", "-c", text, NULL};
    g_spawn_sync(NULL, (char **)shell, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &output, NULL, NULL,
                 &error);
    g_assert_no_error(error);

    GString *expected = g_string_new(NULL);
    for (guint i = 2; argv[i]; i++)
        g_string_append_printf(expected, "%s\n", argv[i]);
    g_assert_cmpstr(output, ==, expected->str);
    g_string_free(expected, TRUE);
}

/* One is enough; and what has no ISA bus has it on PCI. */
static void test_pvpanic(void)
{
    g_autoptr(CvdLayout) layout = make_layout(1);
    CvdConfig config = make_config(layout);
    char *devices[] = {(char *)"{\"driver\":\"pvpanic-pci\",\"addr\":\"5\"}", NULL};
    char *extra[] = {(char *)"-device", (char *)"pvpanic,ioport=1285", NULL};
    const char *isa = "{\"driver\":\"pvpanic\"}", *pci = "{\"driver\":\"pvpanic-pci\"}";

    for (const char *const *m = (const char *const[]){"pc", "pc-q35-7.2", "q35,usb=off", NULL}; *m;
         m++) {
        config.qemu.machine = (char *)*m;
        g_auto(GStrv) argv = build(&config);
        g_assert_true(has_argument(argv, isa));
    }
    config.qemu.machine = (char *)"microvm,pcie=on";
    g_auto(GStrv) microvm = build(&config);
    g_assert_true(has_argument(microvm, pci));

    config.qemu.machine = (char *)"q35";
    config.qemu.devices = devices;
    g_auto(GStrv) own_device = build(&config);
    g_assert_false(has_argument(own_device, isa));
    config.qemu.devices = no_strings;
    config.qemu.extra_args = extra;
    g_auto(GStrv) own_argument = build(&config);
    g_assert_false(has_argument(own_argument, isa));
}

/* The driver's time goes with a kernel, and a user's own one stands. */
static void test_watchdog(void)
{
    g_autoptr(CvdLayout) layout = make_layout(1);
    CvdConfig config = make_config(layout);

    config.qemu.watchdog_s = 9;
    g_auto(GStrv) disk = build(&config);
    g_assert_null(value_of(disk, "-append"));
    g_assert_true(has_argument(disk, "{\"driver\":\"i6300esb\"}"));
    config.qemu.kernel = (char *)"/k";
    g_auto(GStrv) kernel = build(&config);
    g_assert_cmpstr(value_of(kernel, "-append"), ==, "i6300esb.heartbeat=9");
    config.qemu.append = (char *)"quiet i6300esb.heartbeat=60";
    g_auto(GStrv) own = build(&config);
    g_assert_cmpstr(value_of(own, "-append"), ==, "quiet i6300esb.heartbeat=60");
}

static void test_reboot(void)
{
    g_autoptr(CvdLayout) layout = make_layout(1);
    CvdConfig config = make_config(layout);
    const CvdOnEvent events[] = {CVD_ON_EVENT_EXIT, CVD_ON_EVENT_CONTINUE, CVD_ON_EVENT_RESTART};

    for (gsize i = 0; i < G_N_ELEMENTS(events); i++) {
        config.on_reboot = events[i];
        g_auto(GStrv) argv = build(&config);
        g_assert_true(has_argument(argv, "reboot=shutdown") ==
                      (events[i] != CVD_ON_EVENT_CONTINUE));
    }
}

int main(int argc, char **argv)
{
    g_setenv("CVD_RUNTIME_DIR", "/run/test", TRUE);
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/qemu-command/least", test_least);
    g_test_add_func("/qemu-command/everything", test_everything);
    g_test_add_func("/qemu-command/migratable", test_migratable);
    g_test_add_func("/qemu-command/vectors-are-regions", test_vectors_are_regions);
    g_test_add_func("/qemu-command/memory", test_memory);
    g_test_add_func("/qemu-command/attach-args", test_attach_args);
    g_test_add_func("/qemu-command/by-path", test_by_path);
    g_test_add_func("/qemu-command/sockets", test_sockets);
    g_test_add_func("/qemu-command/quoted-by-lines", test_quoted_by_lines);
    g_test_add_func("/qemu-command/quoted-without-program", test_quoted_without_program);
    g_test_add_func("/qemu-command/quoted-survives-a-shell", test_quoted_survives_a_shell);
    g_test_add_func("/qemu-command/pvpanic", test_pvpanic);
    g_test_add_func("/qemu-command/watchdog", test_watchdog);
    g_test_add_func("/qemu-command/reboot", test_reboot);
    return g_test_run();
}
