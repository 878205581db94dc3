/* SPDX-License-Identifier: Apache-2.0 */
/* `programs` and `hooks` of cvd.json: what they come to, and in which words wrong ones are
 * answered. */
#include "launcher/config/config.h"

#include "base/json.h"
#include "launcher/config/probe-programs.h"
#include "launcher/config/programs.h"
#include "tests/unit/config-files.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* QEMU has a network at each socket that @rest, members of cvd.json, names. */
static void use_sockets(const char *rest)
{
    g_autoptr(GRegex) sockets = g_regex_new("\"sockets\": \\{([^}]*)\\}", 0, 0, NULL);
    g_autoptr(GRegex) name = g_regex_new("\"([^\"]*)\": ", 0, 0, NULL);
    g_autoptr(GString) netdevs = g_string_new(NULL);
    g_autoptr(GMatchInfo) object = NULL;

    for (g_regex_match(sockets, rest, 0, &object); g_match_info_matches(object);
         g_match_info_next(object, NULL)) {
        g_autofree char *members = g_match_info_fetch(object, 1);
        g_autoptr(GMatchInfo) member = NULL;
        for (g_regex_match(name, members, 0, &member); g_match_info_matches(member);
             g_match_info_next(member, NULL)) {
            g_autofree char *found = g_match_info_fetch(member, 1);
            g_string_append_printf(netdevs, "%s{\"type\": \"tap\", \"fd\": \"${socket:%s}\"}",
                                   netdevs->len > 0 ? ", " : "", found);
        }
    }
    g_autofree char *qemu = g_strdup_printf("{\"netdevs\": [%s]}", netdevs->str);
    write_file("conf/qemu.json", qemu);
}

/* @rest: members of cvd.json beside the two files */
static void write_config(const char *rest)
{
    use_sockets(rest);
    g_autofree char *text =
        g_strdup_printf("{\"layout\": \"layout.json\", \"qemu\": \"qemu.json\", %s}", rest);

    write_file("conf/cvd.json", text);
}

static void write_two_programs(void)
{
    write_config("\"programs\": {\"dev\": {\"argv\": [\"sh\"]},"
                 " \"other\": {\"argv\": [\"sh\"], \"sockets\": {\"disk\": \"pair\"}}}");
}

static void test_none(Files *files, gconstpointer data)
{
    g_autoptr(CvdConfig) config = load_good(files, NULL);
    g_autofree char *conf = g_build_filename(files->directory, "conf", NULL);

    g_assert_cmpuint(config->n_programs, ==, 0);
    g_assert_null(config->hooks.before_start);
    g_assert_null(config->hooks.after_ready);
    g_assert_null(config->hooks.after_stop);
    g_assert_cmpuint(config->hooks.timeout_s, ==, 30);
    g_assert_cmpstr(config->directory, ==, conf);
}

static void test_defaults(Files *files, gconstpointer data)
{
    write_config("\"programs\": {\"dev\": {\"argv\": [\"sh\"]}}");
    g_autoptr(CvdConfig) config = load_good(files, NULL);
    const CvdProgramConfig *program = &config->programs[0];

    g_assert_cmpuint(config->n_programs, ==, 1);
    g_assert_cmpstr(program->name, ==, "dev");
    g_assert_cmpstrv(program->argv, ((const char *const[]){"sh", NULL}));
    g_assert_cmpuint(g_strv_length(program->regions), ==, 0);
    g_assert_cmpint(program->restart, ==, CVD_RESTART_ON_FAILURE);
    g_assert_cmpuint(g_strv_length(program->env), ==, 0);
    g_assert_cmpstr(program->cwd, ==, config->directory);
    g_assert_null(program->user);
    g_assert_cmpint(program->stop_signal, ==, SIGTERM);
    g_assert_cmpuint(program->stop_timeout_s, ==, 5);
    g_assert_false(program->critical);
    g_assert_false(program->oneshot);
    g_assert_false(program->on_restore);
    g_assert_cmpuint(g_strv_length(program->after), ==, 0);
    g_assert_cmpint(program->ready, ==, CVD_READY_STARTED);
    g_assert_false(program->pass_fds);
    g_assert_cmpuint(program->n_sockets, ==, 0);
    g_assert_null(program->confine);
}

static const char every_key[] =
    "\"programs\": {"
    " \"first\": {\"argv\": [\"/bin/first\"], \"sockets\": {\"t\": \"path\"}},"
    " \"dev\": {\"argv\": [\"./dev\", \"--fd=${socket:fs}\", \"./as-it-is\", \"\"],"
    "  \"regions\": [\"a\"], \"restart\": \"never\", \"env\": {\"A\": \"1\", \"B_2\": \"\"},"
    "  \"cwd\": \"work\", \"user\": \"nobody\", \"stop_signal\": \"INT\", \"stop_timeout_s\": 7,"
    "  \"critical\": true, \"oneshot\": false, \"after\": [\"first\"], \"ready\": \"attached\","
    "  \"pass_fds\": true, \"sockets\": {\"fs\": \"listen\", \"net\": \"pair\"},"
    "  \"confine\": {\"memory\": \"64M\", \"descriptors\": 20, \"cpu_s\": 60,"
    "   \"read_only\": [\"/usr/share\", \"data\"], \"writable\": [\"${runtime}/x\"],"
    "   \"network\": true}}},"
    " \"hooks\": {\"before_start\": [\"./before\", \"${name}\"], \"after_ready\": [\"ready\"],"
    "  \"after_stop\": [\"/bin/stop\"], \"timeout_s\": 4}";

static void check_confine(const CvdConfine *confine, const char *conf)
{
    g_autofree char *data = g_build_filename(conf, "data", NULL);

    g_assert_cmpuint(confine->memory_bytes, ==, 64 << 20);
    g_assert_cmpuint(confine->n_fds, ==, 20);
    g_assert_cmpuint(confine->cpu_s, ==, 60);
    g_assert_true(confine->has_file_system);
    g_assert_cmpstrv(confine->read_only, ((const char *const[]){"/usr/share", data, NULL}));
    g_assert_cmpstrv(confine->writable, ((const char *const[]){"${runtime}/x", NULL}));
    g_assert_true(confine->network);
}

static void test_every_key(Files *files, gconstpointer data)
{
    write_config(every_key);
    g_autoptr(CvdConfig) config = load_good(files, NULL);
    const CvdProgramConfig *program = &config->programs[1];
    const char *conf = config->directory;
    g_autofree char *dev = g_build_filename(conf, "dev", NULL);
    g_autofree char *work = g_build_filename(conf, "work", NULL);
    g_autofree char *before = g_build_filename(conf, "before", NULL);

    g_assert_cmpuint(config->n_programs, ==, 2);
    g_assert_cmpstr(config->programs[0].name, ==, "first");
    g_assert_cmpstr(program->name, ==, "dev");
    g_assert_cmpstrv(program->argv,
                     ((const char *const[]){dev, "--fd=${socket:fs}", "./as-it-is", "", NULL}));
    g_assert_cmpstrv(program->regions, ((const char *const[]){"a", NULL}));
    g_assert_cmpint(program->restart, ==, CVD_RESTART_NEVER);
    g_assert_cmpstrv(program->env, ((const char *const[]){"A=1", "B_2=", NULL}));
    g_assert_cmpstr(program->cwd, ==, work);
    g_assert_cmpstr(program->user->user, ==, "nobody");
    g_assert_cmpint(program->stop_signal, ==, SIGINT);
    g_assert_cmpuint(program->stop_timeout_s, ==, 7);
    g_assert_true(program->critical);
    g_assert_cmpstrv(program->after, ((const char *const[]){"first", NULL}));
    g_assert_cmpint(program->ready, ==, CVD_READY_ATTACHED);
    g_assert_true(program->pass_fds);
    g_assert_cmpuint(program->n_sockets, ==, 2);
    g_assert_cmpstr(program->sockets[1].name, ==, "net");
    g_assert_cmpint(program->sockets[0].kind, ==, CVD_SOCKET_LISTEN);
    g_assert_cmpint(program->sockets[1].kind, ==, CVD_SOCKET_PAIR);
    g_assert_cmpint(config->programs[0].sockets[0].kind, ==, CVD_SOCKET_PATH);
    check_confine(program->confine, conf);
    g_assert_cmpstrv(config->hooks.before_start, ((const char *const[]){before, "${name}", NULL}));
    g_assert_cmpstrv(config->hooks.after_ready, ((const char *const[]){"ready", NULL}));
    g_assert_cmpstrv(config->hooks.after_stop, ((const char *const[]){"/bin/stop", NULL}));
    g_assert_cmpuint(config->hooks.timeout_s, ==, 4);
}

/* Of a configuration that comes from another's values, the values are the same. */
static char *print_values(Files *files)
{
    const CvdConfigSource source = {.path = "conf/cvd.json", .explain = TRUE};
    g_autoptr(CvdConfig) config = cvd_config_load(&source, files->problems);

    if (!config)
        g_error("%s", (char *)files->problems->pdata[0]);
    g_autoptr(JsonNode) root = cvd_json_from_string(config->explanation, NULL);
    return cvd_json_to_string(json_object_get_member(json_node_get_object(root), "config"), TRUE);
}

static void test_printed_values_load(Files *files, gconstpointer data)
{
    static const char *const configurations[] = {
        every_key,
        "\"programs\": {\"a\": {\"argv\": [\"x\"], \"oneshot\": true},"
        " \"b\": {\"argv\": [\"x\"], \"confine\": true, \"sockets\": {\"s\": \"pair\"}}}",
        "\"programs\": {\"a\": {\"argv\": [\"x\"], \"confine\": {\"file_system\": false}}},"
        " \"hooks\": {\"after_stop\": [\"x\"]}",
        "\"programs\": {}",
    };

    for (guint i = 0; i < G_N_ELEMENTS(configurations); i++) {
        write_config(configurations[i]);
        g_autofree char *printed = print_values(files);
        write_file("conf/cvd.json", printed);
        g_autofree char *again = print_values(files);
        g_assert_cmpstr(again, ==, printed);
    }
}

static void test_confine(Files *files, gconstpointer data)
{
    static const struct {
        const char *override;
        gboolean is_confined;
        gboolean has_file_system;
    } rows[] = {
        {"programs.dev.confine=true", TRUE, TRUE},
        {"programs.dev.confine={}", TRUE, TRUE},
        {"programs.dev.confine.memory=1M", TRUE, TRUE},
        {"programs.dev.confine.file_system=false", TRUE, FALSE},
        {"programs.dev.confine=false", FALSE, FALSE},
    };

    write_two_programs();
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(CvdConfig) config = load_good(files, (const char *[]){rows[i].override, NULL});
        const CvdConfine *confine = config->programs[0].confine;
        g_assert_cmpint(confine != NULL, ==, rows[i].is_confined);
        g_assert_cmpint(confine && confine->has_file_system, ==, rows[i].has_file_system);
        g_assert_cmpint(confine && confine->network, ==,
                        rows[i].is_confined && !rows[i].has_file_system);
    }
}

/* It runs once for each VM. */
static void test_never_restarted(Files *files, gconstpointer data)
{
    write_config("\"programs\": {\"once\": {\"argv\": [\"x\"], \"oneshot\": true},"
                 " \"end\": {\"argv\": [\"x\"], \"sockets\": {\"s\": \"pair\"}},"
                 " \"said\": {\"argv\": [\"x\"], \"oneshot\": true, \"restart\": \"never\"}}");
    g_autoptr(CvdConfig) config = load_good(files, NULL);

    for (guint i = 0; i < config->n_programs; i++)
        g_assert_cmpint(config->programs[i].restart, ==, CVD_RESTART_NEVER);
}

static void test_signals(Files *files, gconstpointer data)
{
    static const struct {
        const char *name;
        int number;
    } rows[] = {
        {"SIGTERM", SIGTERM}, {"TERM", SIGTERM}, {"HUP", SIGHUP},   {"SIGQUIT", SIGQUIT},
        {"USR1", SIGUSR1},    {"USR2", SIGUSR2}, {"KILL", SIGKILL},
    };

    write_two_programs();
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *override = g_strdup_printf("programs.dev.stop_signal=%s", rows[i].name);
        g_autoptr(CvdConfig) config = load_good(files, (const char *[]){override, NULL});
        g_assert_cmpint(config->programs[0].stop_signal, ==, rows[i].number);
    }
}

/* ---- How many ---- */

static void write_programs(guint n)
{
    g_autoptr(GString) text = g_string_new("\"programs\": {");

    for (guint i = 0; i < n; i++)
        g_string_append_printf(text, "%s\"p%u\": {\"argv\": [\"x\"], \"after\": [%s]}",
                               i > 0 ? ", " : "", i, i > 0 ? "\"p0\"" : "");
    g_string_append(text, "}");
    write_config(text->str);
}

static void test_number(Files *files, gconstpointer data)
{
    static const guint good[] = {100, CVD_MAX_PROGRAMS};

    for (guint i = 0; i < G_N_ELEMENTS(good); i++) {
        write_programs(good[i]);
        g_autoptr(CvdConfig) config = load_good(files, NULL);
        g_assert_cmpuint(config->n_programs, ==, good[i]);
        g_assert_cmpstr(config->programs[good[i] - 1].after[0], ==, "p0");
    }
    write_programs(CVD_MAX_PROGRAMS + 1);
    assert_bad(files, NULL, "programs: has 129 members; at most 128 are allowed");
}

static void test_number_of_sockets(Files *files, gconstpointer data)
{
    for (guint n = CVD_MAX_SOCKETS; n <= CVD_MAX_SOCKETS + 1; n++) {
        g_autoptr(GString) text = g_string_new("\"programs\": {\"dev\": {\"argv\": [\"x\"],"
                                               " \"sockets\": {");
        for (guint i = 0; i < n; i++)
            g_string_append_printf(text, "%s\"s%u\": \"pair\"", i > 0 ? ", " : "", i);
        g_string_append(text, "}}}");
        write_config(text->str);
        if (n == CVD_MAX_SOCKETS)
            cvd_config_free(load_good(files, NULL));
        else
            assert_bad(files, NULL, "programs.dev.sockets: has 17 members; at most 16");
    }
}

static void test_number_of_passed_regions(Files *files, gconstpointer data)
{
    for (guint n = CVD_MAX_PASSED_REGIONS; n <= CVD_MAX_PASSED_REGIONS + 1; n++) {
        g_autoptr(GString) layout = g_string_new("\"x\": {\"vsoc_device_regions\": [");
        g_autoptr(GString) names = g_string_new(NULL);
        for (guint i = 0; i < n; i++) {
            g_string_append_printf(layout, "%s{\"device_name\": \"r%u\", \"region_size\": 4096}",
                                   i > 0 ? ", " : "", i);
            g_string_append_printf(names, "%s\"r%u\"", i > 0 ? ", " : "", i);
        }
        g_string_append(layout, "]}");
        write_file("conf/layout.json", strchr(layout->str, '{'));
        g_autofree char *text = g_strdup_printf(
            "\"programs\": {\"dev\": {\"argv\": [\"x\"], \"regions\": [%s]}}", names->str);
        write_config(text);
        cvd_config_free(load_good(files, NULL));
        const char *overrides[] = {"programs.dev.pass_fds=true", NULL};
        if (n == CVD_MAX_PASSED_REGIONS)
            cvd_config_free(load_good(files, overrides));
        else
            assert_bad(files, overrides, "programs.dev.regions: has 65 members; with");
    }
}

/* ---- What is wrong ---- */

/* Each says so once. */
static const struct {
    const char *override;
    const char *message;
} messages[] = {
    {"programs=[]", "programs: found a list; expected an object, in which each value has its name"},
    {"programs.a b={\"argv\":[\"x\"]}",
     "programs.a b: found \"a b\"; expected a string of 1 to 32"},
    {"programs.dev=x", "programs.dev: found \"x\"; expected an object"},
    {"programs.dev={}", "programs.dev: needs \"argv\", the command as a list"},
    {"programs.dev={\"agrv\":[\"x\"]}", "programs.dev.agrv: unknown key; did you mean \"argv\"?"},
    {"programs.dev.argv=sh", "programs.dev.argv: found \"sh\"; expected a list of strings"},
    {"programs.dev.argv=[]", "programs.dev.argv: names no program; give a path"},
    {"programs.dev.argv=[\"\"]", "programs.dev.argv: names no program; give a path"},
    {"programs.dev.argv.1=7", "programs.dev.argv[1]: found 7; expected a string"},
    {"programs.dev.regoins=[]", "programs.dev.regoins: unknown key; did you mean \"regions\"?"},
    {"programs.dev.zzzzzzzz=1",
     "unknown key; known are argv, regions, restart, env, cwd, user, st"},
    {"timeout_s=3", "timeout_s: unknown key; did you mean \"hooks.timeout_s\"?"},
    {"programs.dev.regions=[\"nothing-like-it\"]",
     "programs.dev.regions[0]: the layout has no region \"nothing-like-it\""},
    {"programs.dev.regions=[\"a\",\"a\"]", "programs.dev.regions[1]: \"a\" stands twice; remove"},
    {"programs.dev.regions=a", "programs.dev.regions: found \"a\"; expected a list"},
    {"programs.dev.restart=on_failure",
     "found \"on_failure\"; expected \"never\" or \"on-failure\" or \"always\""},
    {"programs.dev.env=[]", "programs.dev.env: found a list; expected an object of strings"},
    {"programs.dev.env.A=1", "programs.dev.env.A: found 1; expected a string"},
    {"programs.dev.env.1A=x", "programs.dev.env.1A: is no name of a variable"},
    {"programs.dev.env.A-B=x", "programs.dev.env.A-B: is no name of a variable"},
    {"programs.dev.env.CVD_NAME=x", "programs.dev.env.CVD_NAME: cvd-launch sets this one itself"},
    {"programs.dev.env.LISTEN_FDS=1", "cvd-launch sets this one itself"},
    {"programs.dev.cwd=", "programs.dev.cwd: found \"\"; expected a path"},
    {"programs.dev.user=nosuchuser", "programs.dev.user: there is no user \"nosuchuser\""},
    {"programs.dev.user=0", "programs.dev.user: root is what this is to prevent"},
    {"programs.dev.stop_signal=SIGSTOP",
     "found \"SIGSTOP\"; expected \"SIGTERM\" or \"SIGINT\" or"},
    {"programs.dev.stop_signal=sigterm", "found \"sigterm\"; expected \"SIGTERM\""},
    {"programs.dev.stop_signal=15", "found 15; expected \"SIGTERM\""},
    {"programs.dev.stop_timeout_s=0", "found 0; expected an integer from 1 to 86400"},
    {"programs.dev.critical=1", "found 1; expected true or false"},
    {"programs.dev.after=[\"othr\"]",
     "programs.dev.after[0]: there is no program \"othr\"; did you mean \"other\"?"},
    {"programs.dev.after=[\"something-else\"]", "there is no program \"something-else\""},
    {"programs.dev.after=[\"other\",\"other\"]", "programs.dev.after[1]: \"other\" stands twice"},
    {"programs.dev.after=[\"dev\"]",
     "programs.dev.after: a cycle, in which none can be the first: dev -> dev"},
    {"programs.dev.ready=guest",
     "found \"guest\"; expected \"started\" or \"attached\" or \"notify\""},
    {"programs.dev.ready=attached", "programs.dev.ready: there is nothing to attach to; name"},
    {"programs.dev.pass_fds=true", "programs.dev.pass_fds: there is nothing to pass; name"},
    {"programs.dev={\"argv\":[\"x\"],\"oneshot\":true,\"restart\":\"always\"}",
     "programs.dev.restart: a program that is \"oneshot\" is started once for each VM"},
    {"programs.dev={\"argv\":[\"x\"],\"oneshot\":true,\"restart\":\"on-failure\"}",
     "programs.dev.restart: a program that is \"oneshot\" is started once for each VM"},
    {"programs.dev={\"argv\":[\"x\"],\"oneshot\":true,\"ready\":\"notify\"}",
     "programs.dev.ready: a program that is \"oneshot\" is ready when it has ended"},
    {"programs.dev.on_restore=true",
     "programs.dev.on_restore: a program that is not \"oneshot\" always runs; leave it out"},
    {"programs.other.oneshot=true",
     "programs.other.sockets: QEMU needs a program at the other end"},
    {"programs.other.restart=always", "programs.other.restart: a program with \"sockets\" is star"},
    {"programs.dev.sockets=[]", "programs.dev.sockets: found a list; expected an object, in which"},
    {"programs.dev.sockets.fs=unix",
     "programs.dev.sockets.fs: found \"unix\"; expected \"listen\" or \"pair\" or \"path\""},
    {"programs.dev.sockets.a/b=pair", "programs.dev.sockets.a/b: found \"a/b\"; expected a string"},
    {"programs.dev.sockets.disk=path",
     "programs.other.sockets.disk: socket disk is program dev's already; choose another name"},
    {"programs.dev.confine=3", "programs.dev.confine: found 3; expected true, false or an object"},
    {"programs.dev.confine.network=yes", "confine.network: found \"yes\"; expected true or false"},
    {"programs.dev.confine.net=true", "confine.net: unknown key; known are memory, descriptors"},
    {"programs.dev.confine.memory=4K", "confine.memory: found \"4K\"; expected a size from 1M"},
    {"programs.dev.confine.descriptors=2",
     "programs.dev.confine.descriptors: to start the program takes 11 descriptors; allow them"},
    {"programs.dev.confine={\"descriptors\":2,\"file_system\":false}",
     "programs.dev.confine.descriptors: to start the program takes 3 descriptors; allow them"},
    {"programs.other.confine.descriptors=11",
     "programs.other.confine.descriptors: to start the program takes 12 descriptors"},
    {"programs.dev={\"argv\":[\"x\"],\"sockets\":{\"tpm\":\"path\"},\"confine\":true}",
     "programs.dev.confine: what the program listens at in a file system of its own, nobody else "
     "can reach (socket tpm)"},
    {"programs.dev.confine.writable=[\"/\"]",
     "programs.dev.confine: with / among \"writable\" nothing is the program's own"},
    {"programs.dev.confine.read_only=[\"\"]", "confine.read_only[0]: found \"\"; expected a path"},
    {"programs.dev.confine={\"file_system\":false,\"network\":false}",
     "programs.dev.confine.network: needs a file system of the program's own; remove it"},
    {"programs.dev.confine={\"file_system\":false,\"writable\":[\"/\"]}",
     "programs.dev.confine.writable: needs a file system of the program's own"},
    {"programs.dev.argv.1=${nam}", "programs.dev.argv[1]: ${nam}: unknown; known are ${name}, "},
    {"programs.dev.argv.1=${${name}}", "programs.dev.argv[1]: ${${name}: no substitution can be"},
    {"programs.dev.argv.0=/x/${name", "programs.dev.argv[0]: ${name: \"${\" without \"}\""},
    {"programs.dev.argv.1=${socket:disk}",
     "programs.dev.argv[1]: ${socket:disk}: unknown; \"sockets\" of a program has to "
     "name it; known are ${name}, ${runtime}, "
     "${client_socket}, ${config_dir}, ${index}, and $$ for a dollar"},
    {"programs.other.argv.1=${socket:disc}", "${index}, ${socket:disk}, and $$ for a dollar"},
    {"programs.dev.env.A=${x}", "programs.dev.env.A: ${x}: unknown"},
    {"programs.dev.cwd=${x}", "programs.dev.cwd: ${x}: unknown"},
    {"programs.dev.confine.read_only=[\"${x}\"]", "programs.dev.confine.read_only[0]: ${x}: unk"},
    {"programs.cvd-1.argv=[\"x\"]", "programs.cvd-1: the machine has this name itself; choose ano"},
    {"programs.hooks.argv=[\"x\"]", "programs.hooks: the log of the hooks has this name"},
    {"hooks=[]", "hooks: found a list; expected an object"},
    {"hooks.before=[\"x\"]", "hooks.before: unknown key; known are before_start, after_ready, aft"},
    {"hooks.before_start=x", "hooks.before_start: found \"x\"; expected a list of strings"},
    {"hooks.before_start=[]", "hooks.before_start: names no program; give a path"},
    {"hooks.after_ready=[\"x\",\"${y}\"]", "hooks.after_ready[1]: ${y}: unknown"},
    {"hooks.after_stop=[\"x\",\"${socket:disk}\"]",
     "hooks.after_stop[1]: ${socket:disk}: there is no socket here"},
    {"hooks.timeout_s=0", "hooks.timeout_s: found 0; expected an integer from 1 to 86400"},
};

static void test_messages(Files *files, gconstpointer data)
{
    write_two_programs();
    for (guint i = 0; i < G_N_ELEMENTS(messages); i++) {
        const char *overrides[] = {messages[i].override, NULL};
        assert_bad(files, overrides, messages[i].message);
    }
}

static void test_nearest_region(Files *files, gconstpointer data)
{
    const char *overrides[] = {"layout.vsoc_device_regions.0.device_name=sensors",
                               "programs.dev.regions=[\"sensor\"]", NULL};

    write_two_programs();
    assert_bad(files, overrides,
               "programs.dev.regions[0]: the layout has no region \"sensor\"; did you mean "
               "\"sensors\"?");
}

static void test_line_of_a_problem(Files *files, gconstpointer data)
{
    write_config("\n\n\"programs\": {\n\"dev\": {\"argv\": [\"x\",\n\"${y}\"]}}");
    assert_bad(files, NULL, "conf/cvd.json: line 5: programs.dev.argv[1]: ${y}: unknown");
}

static void test_cycles(Files *files, gconstpointer data)
{
    static const struct {
        const char *after[4]; /* of a, b, c and d */
        const char *cycles[2];
    } rows[] = {
        {{"", "\"a\"", "\"a\", \"b\"", "\"c\", \"b\", \"a\""}, {NULL}},
        {{"\"b\"", "\"a\"", "", ""},
         {"programs.a.after: a cycle, in which none can be the first: "
          "a -> b -> a"}},
        {{"\"b\"", "\"c\"", "\"d\"", "\"b\""},
         {"programs.b.after: a cycle, in which none can be "
          "the first: b -> c -> d -> b"}},
        {{"\"b\"", "\"a\"", "\"d\"", "\"c\""}, {": a -> b -> a", ": c -> d -> c"}},
        {{"\"b\", \"c\"", "\"a\"", "\"a\"", ""}, {": a -> b -> a", ": a -> c -> a"}},
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GString) text = g_string_new("\"programs\": {");
        for (guint j = 0; j < G_N_ELEMENTS(rows[i].after); j++)
            g_string_append_printf(text, "%s\"%c\": {\"argv\": [\"x\"], \"after\": [%s]}",
                                   j > 0 ? ", " : "", 'a' + j, rows[i].after[j]);
        g_string_append(text, "}");
        write_config(text->str);
        guint n = 0;
        cvd_config_free(load(files, NULL));
        for (; n < G_N_ELEMENTS(rows[i].cycles) && rows[i].cycles[n]; n++)
            assert_problem(files, n, rows[i].cycles[n]);
        g_assert_cmpuint(files->problems->len, ==, n);
    }
}

/* One that is exclusive is for one program, among those that hold theirs. */
static void test_exclusive_regions(Files *files, gconstpointer data)
{
    static const struct {
        const char *a;
        const char *b;
        gboolean is_good;
    } rows[] = {
        {"\"pass_fds\": true", "\"pass_fds\": true", FALSE},
        {"\"ready\": \"attached\"", "\"pass_fds\": true", FALSE},
        {"\"pass_fds\": true", "\"pass_fds\": true, \"oneshot\": true", TRUE},
        {"\"pass_fds\": true", "\"cwd\": \"/\"", TRUE},
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *text =
            g_strdup_printf("\"programs\": {\"dev\": {\"argv\": [\"x\"], \"regions\": [\"a\"], %s},"
                            " \"b\": {\"argv\": [\"x\"], \"regions\": [\"a\"], %s}}",
                            rows[i].a, rows[i].b);
        const char *overrides[] = {"layout.vsoc_device_regions.0.exclusive=true", NULL};
        write_config(text);
        cvd_config_free(load_good(files, NULL));
        if (rows[i].is_good)
            cvd_config_free(load_good(files, overrides));
        else
            assert_bad(files, overrides,
                       "programs.b.regions: exclusive region a is program dev's already; leave it "
                       "to one of the two");
    }
}

/* Sockets of other names, or of programs of other names, would be one file. */
static void test_file_of_a_socket(Files *files, gconstpointer data)
{
    static const struct {
        const char *a;
        const char *a_b;
        const char *problem;
    } rows[] = {
        {"\"sockets\": {\"b-c\": \"path\"}", "\"sockets\": {\"c\": \"path\"}",
         "programs.a-b.sockets.c: file /run/x/cvd-1/a-b-c.sock is program a's already; choose"},
        {"\"sockets\": {\"b-notify\": \"pair\"}", "\"ready\": \"notify\"",
         "programs.a-b.ready: file /run/x/cvd-1/a-b-notify.sock is program a's already; choose"},
        {"\"ready\": \"notify\", \"sockets\": {\"notify\": \"pair\"}", "\"cwd\": \"/\"",
         "programs.a.sockets.notify: file /run/x/cvd-1/a-notify.sock is program a's already"},
    };

    g_setenv("CVD_RUNTIME_DIR", "/run/x", TRUE);
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *text = g_strdup_printf("\"programs\": {\"a\": {\"argv\": [\"x\"], %s},"
                                                " \"a-b\": {\"argv\": [\"x\"], %s}}",
                                                rows[i].a, rows[i].a_b);
        write_config(text);
        assert_bad(files, NULL, rows[i].problem);
    }
    g_unsetenv("CVD_RUNTIME_DIR");
}

/* A name that an option gives counts, too. */
static void test_name_of_the_machine(Files *files, gconstpointer data)
{
    CvdConfigSource source = {.path = "conf/cvd.json", .name = "dev"};

    write_two_programs();
    g_assert_null(cvd_config_load(&source, files->problems));
    g_assert_cmpuint(files->problems->len, ==, 1);
    assert_problem(files, 0,
                   "programs.dev: the machine has this name itself; choose another, so "
                   "that logs and commands tell them apart");
    source.name = "devi";
    cvd_config_free(cvd_config_load(&source, files->problems));
    g_assert_cmpuint(files->problems->len, ==, 1);
}

static void test_many_problems(Files *files, gconstpointer data)
{
    write_config(
        "\"programs\": {\"a\": {\"argv\": [\"${x}\", \"${y}\"], \"after\": [\"b\"]},"
        " \"c d\": {\"agrv\": []}, \"e\": {\"ready\": \"attached\"}}, \"hooks\": {\"x\": 1}");
    g_assert_null(load(files, NULL));
    g_assert_cmpuint(files->problems->len, ==, 8);
}

/* ---- Options ---- */

static void test_set(Files *files, gconstpointer data)
{
    const char *overrides[] = {"programs.dev.critical=true",
                               "programs.dev.argv.1=--x",
                               "programs.dev.argv.0=./here",
                               "programs.new={\"argv\":[\"y\"]}",
                               "programs.newer.argv.0=z",
                               "programs.other=null",
                               "qemu.netdevs=[]",
                               "programs.dev.env.A=b",
                               "hooks.after_stop=[\"a\"]",
                               NULL};

    write_two_programs();
    g_autoptr(CvdConfig) config = load_good(files, overrides);
    /* A relative path in an option starts at the current directory. */
    g_autofree char *here = g_build_filename(files->directory, "here", NULL);
    const CvdProgramConfig *programs = config->programs;

    g_assert_cmpuint(config->n_programs, ==, 3);
    g_assert_true(programs[0].critical);
    g_assert_cmpstrv(programs[0].argv, ((const char *const[]){here, "--x", NULL}));
    g_assert_cmpstrv(programs[0].env, ((const char *const[]){"A=b", NULL}));
    g_assert_cmpstr(programs[1].name, ==, "new");
    g_assert_cmpstr(programs[2].argv[0], ==, "z");
    g_assert_cmpstr(config->hooks.after_stop[0], ==, "a");
}

static void test_origins(Files *files, gconstpointer data)
{
    const CvdConfigSource source = {.path = "conf/cvd.json",
                                    .overrides =
                                        (const char *const[]){"programs.dev.critical=true", NULL},
                                    .explain = TRUE};

    write_two_programs();
    g_autoptr(CvdConfig) config = cvd_config_load(&source, files->problems);
    g_autoptr(JsonNode) root = cvd_json_from_string(config->explanation, NULL);
    JsonObject *from = json_object_get_object_member(json_node_get_object(root), "from");

    g_assert_cmpstr(json_object_get_string_member(from, "programs"), ==, "conf/cvd.json");
    g_assert_cmpstr(json_object_get_string_member(from, "programs.dev.critical"), ==,
                    "--set programs.dev.critical=true");
    g_assert_cmpstr(json_object_get_string_member(from, "hooks.timeout_s"), ==, "default");
}

/* ---- On this machine ---- */

static guint probe(Files *files, const char *const *overrides)
{
    g_autoptr(CvdConfig) config = load_good(files, overrides);

    cvd_programs_probe(config, files->problems);
    return files->problems->len;
}

static void write_executable(const char *name, const char *text)
{
    write_file(name, text);
    g_assert_no_errno(g_chmod(name, 0700));
}

static void test_probe(Files *files, gconstpointer data)
{
    static const struct {
        const char *override;
        const char *problem; /* NULL: there is none */
    } rows[] = {
        {"programs.dev.argv.0=sh", NULL},
        {"programs.dev.argv.0=conf/run", NULL},
        {"programs.dev.argv.0=${config_dir}/run", NULL},
        {"programs.dev.argv.0=conf/${name}/../run", "/conf/cvd-1/../run: No such file"},
        {"programs.dev.argv.0=nosuchprogram",
         "programs.dev.argv[0]: nosuchprogram is not in PATH; name a program that can be run"},
        {"programs.dev.argv.0=/nosuch/program",
         "programs.dev.argv[0]: /nosuch/program: No such file or directory; name a program"},
        {"programs.dev.argv.0=conf/cvd.json",
         "/conf/cvd.json: is not executable (chmod +x makes it so); name a program"},
        {"programs.dev.argv.0=conf/script",
         "/conf/script: is for /nosuch/python4, which is not there; name a program"},
        {"programs.dev.argv.0=./conf", "/conf: is not a file; name a program"},
        {"programs.dev.cwd=/", NULL},
        {"programs.dev.cwd=${runtime}", NULL},
        {"programs.dev.cwd=${runtime}/programs", NULL},
        {"programs.dev.cwd=${runtime}-other", "-other: is not there; make it"},
        {"programs.dev.cwd=nowhere", "programs.dev.cwd: "},
        {"programs.dev.cwd=conf/cvd.json", "/conf/cvd.json: is no directory; name one"},
        {"hooks.before_start=[\"sh\"]", NULL},
        {"hooks.before_start=[\"nosuchhook\"]",
         "hooks.before_start[0]: nosuchhook is not in PATH; name a program that can be run"},
        {"hooks.after_ready=[\"/nosuch/hook\"]", "hooks.after_ready[0]: /nosuch/hook: No such"},
        {"hooks.after_stop=[\"/\"]", "hooks.after_stop[0]: /: is not a file"},
    };

    write_two_programs();
    write_executable("conf/run", "#! /bin/sh -e\n");
    write_executable("conf/script", "#!/nosuch/python4 -u\n");
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        guint n = probe(files, (const char *[]){rows[i].override, NULL});
        g_assert_cmpuint(n, ==, rows[i].problem != NULL);
        if (rows[i].problem)
            assert_problem(files, 0, rows[i].problem);
    }
}

/* Both with and without the program that confines others. */
static void test_probe_confine(Files *files, gconstpointer data)
{
    static const struct {
        const char *override;
        const char *problem; /* NULL: there is none */
        gboolean needs_it;
    } rows[] = {
        {"programs.dev.confine=true", NULL, TRUE},
        {"programs.dev.confine.file_system=false", NULL, FALSE},
        {"programs.dev.confine.read_only=[\"/\", \"${runtime}/x\"]", NULL, TRUE},
        {"programs.dev.confine.read_only=[\"/\", \"/nosuch\"]",
         "programs.dev.confine.read_only: /nosuch: is not there; make it", TRUE},
        {"programs.dev.confine.writable=[\"nosuch\"]", "/nosuch: is not there; make it", TRUE},
    };
    g_autofree char *path = g_strdup(g_getenv("PATH"));

    write_config("\"programs\": {\"dev\": {\"argv\": [\"/bin/sh\"]}}");
    g_assert_no_errno(g_mkdir("bin", 0700));
    g_setenv("PATH", "bin", TRUE);
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        const char *overrides[] = {rows[i].override, NULL};
        guint n = rows[i].problem != NULL;
        g_assert_cmpuint(probe(files, overrides), ==, n + rows[i].needs_it);
        if (rows[i].needs_it)
            assert_problem(files, 0,
                           "programs.dev.confine: bwrap is not in PATH; install it (apt "
                           "install bubblewrap), or set \"file_system\": false");
        write_executable("bin/bwrap", "#!/bin/sh\n");
        g_assert_cmpuint(probe(files, overrides), ==, n);
        if (n > 0)
            assert_problem(files, 0, rows[i].problem);
        g_assert_no_errno(g_unlink("bin/bwrap"));
    }
    g_setenv("PATH", path, TRUE);
}

static void test_probe_user(Files *files, gconstpointer data)
{
    const char *overrides[] = {"programs.dev.user=nobody", NULL};

    write_two_programs();
    g_assert_cmpuint(probe(files, overrides), ==, geteuid() != 0);
    if (geteuid() != 0)
        assert_problem(files, 0, "programs.dev.user: only root can start a program as user");
}

/* What --check still looks at where the files have problems. */
static void test_probe_broken(Files *files, gconstpointer data)
{
    const CvdConfigSource source = {.path = "conf/cvd.json", .keep_broken = TRUE};

    write_config("\"programs\": {\"a b\": {\"argv\": [\"x\"]}, \"c\": {\"argv\": 1, \"cwd\": 2,"
                 " \"sockets\": {\"/\": \"pair\"}}, \"d\": {\"argv\": [\"nosuch${x}\"]},"
                 " \"e\": 5}, \"hooks\": {\"after_stop\": 4}");
    g_autoptr(CvdConfig) config = cvd_config_load(&source, files->problems);
    g_assert_nonnull(config);
    guint n_before = files->problems->len;
    cvd_programs_probe(config, files->problems);
    g_assert_cmpuint(files->problems->len, ==, n_before + 1);
    assert_problem(files, n_before, "programs.d.argv[0]: nosuch");
}

/* A runtime directory in which a socket of that name has a path of just 107 bytes, and more. */
static char *make_place(const char *file, gsize n_over)
{
    g_autofree char *fill = g_strnfill(107 - strlen("//cvd-1/") - strlen(file) + n_over, 'x');

    return g_strconcat("/", fill, NULL);
}

static void test_paths_of_sockets(Files *files, gconstpointer data)
{
    static const struct {
        const char *member;
        const char *file;
        const char *problem; /* NULL: it is not bound */
    } rows[] = {
        {"\"sockets\": {\"a-name\": \"listen\"}", "d-a-name.sock", "programs.d.sockets.a-name: /x"},
        {"\"sockets\": {\"a-name\": \"path\"}", "d-a-name.sock", "programs.d.sockets.a-name: /x"},
        {"\"sockets\": {\"a-name\": \"pair\"}", "d-a-name.sock", NULL},
        {"\"ready\": \"notify\"", "d-notify.sock", "programs.d.ready: /x"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *text =
            g_strdup_printf("\"programs\": {\"d\": {\"argv\": [\"x\"], %s}}", rows[i].member);
        write_config(text);
        for (gsize n_over = 0; n_over < 2; n_over++) {
            g_autofree char *place = make_place(rows[i].file, n_over);
            guint n_problems = n_over > 0 && rows[i].problem;
            g_setenv("CVD_RUNTIME_DIR", place, TRUE);
            g_autoptr(CvdConfig) config = load_good(files, NULL);
            cvd_programs_check_paths(config, files->problems);
            g_assert_cmpuint(files->problems->len, ==, n_problems);
            if (n_problems > 0)
                assert_problem(files, 0, rows[i].problem);
        }
    }
    g_unsetenv("CVD_RUNTIME_DIR");
}

static void add(const char *path, void (*test)(Files *, gconstpointer))
{
    g_test_add(path, Files, NULL, files_set_up, test, files_tear_down);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_unsetenv("CVD_RUNTIME_DIR");
    add("/config-programs/none", test_none);
    add("/config-programs/defaults", test_defaults);
    add("/config-programs/every-key", test_every_key);
    add("/config-programs/printed-values-load", test_printed_values_load);
    add("/config-programs/confine", test_confine);
    add("/config-programs/never-restarted", test_never_restarted);
    add("/config-programs/signals", test_signals);
    add("/config-programs/number", test_number);
    add("/config-programs/number-of-sockets", test_number_of_sockets);
    add("/config-programs/number-of-passed-regions", test_number_of_passed_regions);
    add("/config-programs/messages", test_messages);
    add("/config-programs/nearest-region", test_nearest_region);
    add("/config-programs/line-of-a-problem", test_line_of_a_problem);
    add("/config-programs/cycles", test_cycles);
    add("/config-programs/exclusive-regions", test_exclusive_regions);
    add("/config-programs/file-of-a-socket", test_file_of_a_socket);
    add("/config-programs/name-of-the-machine", test_name_of_the_machine);
    add("/config-programs/many-problems", test_many_problems);
    add("/config-programs/set", test_set);
    add("/config-programs/origins", test_origins);
    add("/config-programs/probe", test_probe);
    add("/config-programs/probe-confine", test_probe_confine);
    add("/config-programs/probe-user", test_probe_user);
    add("/config-programs/probe-broken", test_probe_broken);
    add("/config-programs/paths-of-sockets", test_paths_of_sockets);
    return g_test_run();
}
