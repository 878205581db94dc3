/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration that cannot be used: each kind is refused by the program as a whole, with --check
 * and without, with exit status 2, naming file and remedy, before anything is created. The rules
 * themselves have their tables in the unit tests.
 */
#include "tests/support/launcher.h"
#include "tests/support/rows.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define GOOD_REGION                                                                                \
    "{\"device_name\":\"a\",\"current_version\":1,\"min_compatible_version\":1,"                   \
    "\"region_size\":8192,\"guest_to_host_signal_table\":{\"num_nodes_lg2\":1},"                   \
    "\"host_to_guest_signal_table\":{\"num_nodes_lg2\":1}}"
#define LAYOUT(text) "\"layout\":{\"vsoc_device_regions\":[" text "]}"
#define QEMU         "\"qemu\":{\"accel\":\"tcg\",\"kernel\":\"builtin\"}"

typedef struct {
    const char *name;
    const char *text;
    const char *words[4]; /* all of which stderr must have */
} Case;

static const Case cases[] = {
    {"empty", "", {"cvd.json", "empty"}},
    {"only-white-space", " \n\t ", {"cvd.json", "empty"}},
    {"truncated", "{\"layout\": {\"vsoc_device_regions\": [", {"cvd.json"}},
    {"not-json", "name = cvd-1\n", {"cvd.json"}},
    {"binary",
     "\x7f"
     "ELF\x02\x01\x01\xff\xfe\xfd",
     {"cvd.json"}},
    {"an-array", "[1, 2]", {"cvd.json", "object"}},
    {"duplicate-key",
     "{" LAYOUT(GOOD_REGION) "," QEMU ",\"name\":\"one\",\"name\":\"two\"}",
     {"cvd.json", "name", "twice"}},
    {"unknown-key",
     "{" LAYOUT(GOOD_REGION) "," QEMU ",\"nmae\":\"one\"}",
     {"cvd.json", "nmae", "name"}},
    {"unknown-nested-key",
     "{" LAYOUT(GOOD_REGION) "," QEMU ",\"lifecycle\":{\"stopp\":\"quit\"}}",
     {"cvd.json", "lifecycle.stopp", "stop"}},
    {"wrong-type",
     "{" LAYOUT(GOOD_REGION) "," QEMU ",\"name\":17}",
     {"cvd.json", "name", "17", "letters"}},
    {"bad-name",
     "{" LAYOUT(GOOD_REGION) "," QEMU ",\"name\":\"../etc\"}",
     {"cvd.json", "name", "../etc"}},
    {"negative-number",
     "{" LAYOUT(GOOD_REGION) "," QEMU ",\"limits\":{\"clients\":-1}}",
     {"cvd.json", "limits.clients", "-1"}},
    {"huge-number",
     "{" LAYOUT(GOOD_REGION) "," QEMU
                             ",\"lifecycle\":{\"start_timeout_s\":99999999999999999999999}}",
     {"cvd.json"}},
    {"huge-memory",
     "{" LAYOUT(GOOD_REGION) ",\"qemu\":{\"accel\":\"tcg\",\"memory\":\"99999999999G\"}}",
     {"cvd.json", "memory"}},
    {"no-layout", "{" QEMU "}", {"cvd.json", "layout"}},
    {"no-qemu", "{" LAYOUT(GOOD_REGION) "}", {"cvd.json", "qemu"}},
    {"layout-file-missing", "{\"layout\":\"nowhere.json\"," QEMU "}", {"nowhere.json"}},
    {"no-regions", "{" LAYOUT("") "," QEMU "}", {"region"}},
    {"two-regions-of-one-name", "{" LAYOUT(GOOD_REGION "," GOOD_REGION) "," QEMU "}", {"'a'"}},
    {"odd-region-size",
     "{" LAYOUT("{\"device_name\":\"a\",\"current_version\":1,\"min_compatible_version\":1,"
                "\"region_size\":5000,\"guest_to_host_signal_table\":{\"num_nodes_lg2\":1},"
                "\"host_to_guest_signal_table\":{\"num_nodes_lg2\":1}}") "," QEMU "}",
     {"region_size", "5000", "8192"}},
    {"several-problems-at-once",
     "{" LAYOUT(
         GOOD_REGION) "," QEMU
                      ",\"nmae\":1,\"limits\":{\"clients\":-1},\"sockets\":{\"mode\":\"rw\"}}",
     {"nmae", "limits.clients", "sockets.mode"}},
    {"missing-kernel",
     "{" LAYOUT(GOOD_REGION) ",\"qemu\":{\"accel\":\"tcg\",\"kernel\":\"/nowhere/bzImage\"}}",
     {"/nowhere/bzImage"}},
    {"missing-binary",
     "{" LAYOUT(GOOD_REGION) ",\"qemu\":{\"accel\":\"tcg\",\"binary\":\"/nowhere/qemu\"}}",
     {"/nowhere/qemu"}},
    {"binary-not-in-path",
     "{" LAYOUT(GOOD_REGION) ",\"qemu\":{\"accel\":\"tcg\",\"binary\":\"qemu-system-pdp11\"}}",
     {"qemu-system-pdp11", "PATH"}},
    {"missing-program",
     "{" LAYOUT(GOOD_REGION) "," QEMU ",\"programs\":{\"x\":{\"argv\":[\"/nowhere/x\"]}}}",
     {"programs.x.argv[0]", "/nowhere/x", "No such file"}},
    {"program-not-executable",
     "{" LAYOUT(GOOD_REGION) "," QEMU ",\"programs\":{\"x\":{\"argv\":[\"./cvd.json\"]}}}",
     {"programs.x.argv[0]", "/cvd.json", "is not executable"}},
    {"program-named-as-the-machine",
     "{" LAYOUT(GOOD_REGION) "," QEMU ",\"name\":\"x\",\"programs\":{\"x\":{\"argv\":[\"true\"]}}}",
     {"cvd.json", "programs.x", "the machine has this name itself"}},
    {"programs-in-a-cycle",
     "{" LAYOUT(GOOD_REGION) "," QEMU
                             ",\"programs\":{\"x\":{\"argv\":[\"true\"],\"after\":[\"y\"]},"
                             "\"y\":{\"argv\":[\"true\"],\"after\":[\"x\"]}}}",
     {"cvd.json", "programs.x.after", "x -> y -> x"}},
    {"substitution-in-a-substitution",
     "{" LAYOUT(GOOD_REGION) "," QEMU ",\"programs\":{\"x\":{\"argv\":[\"true\",\"${${name}}\"]}}}",
     {"cvd.json", "programs.x.argv[1]", "inside another", "${name}, ${runtime}"}},
    {"missing-hook",
     "{" LAYOUT(GOOD_REGION) "," QEMU ",\"hooks\":{\"after_stop\":[\"nosuchhook\"]}}",
     {"hooks.after_stop[0]", "nosuchhook", "PATH"}},
};

static void assert_refused(const TestSandbox *sandbox, const char *config, const char *const *words)
{
    for (guint check = 0; check < 2; check++) {
        g_autoptr(TestProcess) launcher =
            test_launch_config(sandbox, config, check ? "--check" : NULL, NULL);
        test_launcher_assert_exit(launcher, 2);
        for (const char *const *word = words; *word != NULL; word++)
            test_launcher_assert_err(launcher, *word);
        g_assert_cmpstr(launcher->out->str, ==, "");
        test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
    }
}

static void test_case(gconstpointer data)
{
    const Case *test = data;
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *config = test_sandbox_write(sandbox, "cvd.json", test->text);
    const char *words[] = {test->words[0], test->words[1], test->words[2], test->words[3], NULL};

    assert_refused(sandbox, config, words);
}

static void test_missing_file(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    const char *words[] = {"/nowhere/cvd.json", "No such file", NULL};

    assert_refused(sandbox, words[0], words);
}

static void test_directory(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    const char *words[] = {sandbox->dir, NULL};

    assert_refused(sandbox, sandbox->dir, words);
}

static void test_100_megabytes(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *config = test_sandbox_write(sandbox, "cvd.json", "{");
    const char *words[] = {"cvd.json", "104857600", "1048576", NULL};

    g_assert_cmpint(truncate(config, 100 << 20), ==, 0);
    assert_refused(sandbox, config, words);
}

/* All are counted, but no log is filled with them. */
static void test_very_many_problems(gconstpointer data)
{
    static const struct {
        guint n_keys;
        gboolean is_cut;
    } rows[] = {{100, FALSE}, {101, TRUE}};
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GString) text = g_string_new("{" LAYOUT(GOOD_REGION) "," QEMU);
        g_autofree char *count = g_strdup_printf("%u problems; nothing was", rows[i].n_keys);
        for (guint key = 0; key < rows[i].n_keys; key++)
            g_string_append_printf(text, ",\"key-%u-\":1", key);
        g_string_append_c(text, '}');
        g_autofree char *config = test_sandbox_write(sandbox, "many.json", text->str);
        const char *argv[] = {test_launcher_path(), "--check", "--config", config, NULL};
        g_autoptr(TestProcess) launcher = test_process_start(sandbox, argv, NULL, NULL);
        test_launcher_assert_exit(launcher, 2);
        test_launcher_assert_err(launcher, count);
        test_launcher_assert_err(launcher, "key-99-");
        g_assert_false(test_process_has_err(launcher, "key-100-"));
        g_assert_cmpint(test_process_has_err(launcher, "the first 100"), ==, rows[i].is_cut);
    }
}

static void test_binary_not_executable(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *binary = test_sandbox_write(sandbox, "qemu", "#!/bin/sh\n");
    g_autofree char *text = g_strdup_printf(
        "{" LAYOUT(GOOD_REGION) ",\"qemu\":{\"accel\":\"tcg\",\"binary\":\"%s\"}}", binary);
    g_autofree char *config = test_sandbox_write(sandbox, "cvd.json", text);
    const char *words[] = {binary, "execut", NULL};

    assert_refused(sandbox, config, words);
}

static void test_usage(gconstpointer data)
{
    static const char *const wrong[] = {"--no-such-option",        "--timeout=-1",
                                        "--timeout=soon",          "--name=../x",
                                        "--set=qemu.memory",       "--set=nothing.like.this=1",
                                        "--set=qemu.memory=lots",  "--print-layout=cobol",
                                        "a-word-that-is-no-option"};
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *config = test_source_path("conf/cvd.json");

    for (guint i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(TestProcess) launcher = test_launch_config(sandbox, config, wrong[i], NULL);
        test_launcher_assert_exit(launcher, 2);
        g_assert_cmpuint(launcher->err->len, >, 0);
        test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
    }
}

/* The project's own files are good. */
static void test_good(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autoptr(TestProcess) launcher = test_launch(sandbox, "good", "--check", NULL);

    test_launcher_assert_exit(launcher, 0);
    test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add_rows(test_add, "/bad-config/", cases, test_case);
    test_add("/bad-config/missing-file", NULL, test_missing_file);
    test_add("/bad-config/a-directory", NULL, test_directory);
    test_add("/bad-config/100-megabytes", NULL, test_100_megabytes);
    test_add("/bad-config/very-many-problems", NULL, test_very_many_problems);
    test_add("/bad-config/binary-not-executable", NULL, test_binary_not_executable);
    test_add("/bad-config/usage", NULL, test_usage);
    test_add("/bad-config/the-projects-own-is-good", NULL, test_good);
    return g_test_run();
}
