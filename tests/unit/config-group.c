/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration of many machines: what it is to each of them, and which cannot be. */
#include "base/json.h"
#include "launcher/config/substitute.h"
#include "tests/unit/config-files.h"

#include <glib/gstdio.h>
#include <string.h>

#define GROUP "{\"layout\": \"layout.json\", \"qemu\": \"qemu.json\", "

static CvdConfig *load_index(Files *files, const char *index, const char *name,
                             const char *const *overrides)
{
    const CvdConfigSource source = {.path = "conf/cvd.json",
                                    .name = name,
                                    .index = index,
                                    .overrides = overrides,
                                    .explain = TRUE};

    g_ptr_array_set_size(files->problems, 0);
    return cvd_config_load(&source, files->problems);
}

static CvdConfig *load_good_index(Files *files, const char *index, const char *const *overrides)
{
    CvdConfig *config = load_index(files, index, NULL, overrides);

    if (!config)
        g_error("%s", (char *)files->problems->pdata[0]);
    return config;
}

static void test_names(Files *files, gconstpointer data)
{
    static const struct {
        const char *rest; /* of cvd.json */
        const char *option;
        const char *index;
        const char *name;
        const char *group;
        guint first, last;
    } rows[] = {
        {"\"instances\": 64, \"name\": \"phone-${index}\"}", NULL, "64", "phone-64", "phone", 1,
         64},
        {"\"instances\": 64, \"name\": \"phone\"}", NULL, "1", "phone-1", "phone", 1, 64},
        {"\"instances\": \"0..3\", \"name\": \"a-b\"}", NULL, "0", "a-b-0", "a-b", 0, 3},
        {"\"instances\": 1}", NULL, "1", "cvd-1", "cvd", 1, 1},
        {"\"instances\": \"7..7\"}", NULL, "7", "cvd-7", "cvd", 7, 7},
        {"\"instances\": \"1..10000\"}", NULL, "10000", "cvd-10000", "cvd", 1, 10000},
        {"\"instances\": \"999999998..999999999\"}", NULL, "999999999", "cvd-999999999", "cvd",
         999999998, 999999999},
        {"\"instances\": 5, \"name\": \"phone\"}", "other", "5", "other-5", "other", 1, 5},
        {"\"instances\": 5, \"name\": \"phone\"}", "x-${index}", "5", "x-5", "x", 1, 5},
        {"\"instances\": 9, \"name\": \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}", NULL, "9",
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-9", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 1, 9},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *text = g_strconcat(GROUP, rows[i].rest, NULL);
        write_file("conf/cvd.json", text);
        g_autoptr(CvdConfig) config = load_index(files, rows[i].index, rows[i].option, NULL);
        g_assert_nonnull(config);
        g_assert_cmpstr(config->name, ==, rows[i].name);
        g_assert_cmpstr(config->group.name, ==, rows[i].group);
        g_assert_cmpuint(config->group.first, ==, rows[i].first);
        g_assert_cmpuint(config->group.last, ==, rows[i].last);
    }
}

/* All files and options are those of the one machine, also the names of the files. */
static void test_strings(Files *files, gconstpointer data)
{
    static const char *const overrides[] = {
        "qemu.append=${index} $${index} $$${index} $ {index}${index}${index",
        "qemu.devices.0={\"driver\":\"x\",\"a\":[{\"b\":\"<${index}>\"}]}",
        "lifecycle.ready_pattern=^${index}$",
        NULL,
    };

    write_file("conf/cvd.json", "{\"instances\": \"10..12\", \"name\": \"phone-${index}\","
                                " \"qemu\": \"qemu-${index}.json\", \"layout\": \"layout.json\","
                                " \"lifecycle\": {\"ready\": \"guest\"},"
                                " \"sockets\": {\"client\": \"/tmp/${index}.sock\"}}");
    write_file("conf/qemu-12.json", "{\"kernel\": \"k${index}\", \"memory\": \"${index}M\","
                                    " \"blockdevs\": [{\"driver\": \"file\", \"node-name\": \"d\","
                                    " \"filename\": \"disk-${index}\"}]}");
    write_file("conf/layout.json", "{\"vsoc_device_regions\": [{\"device_name\": \"r${index}\","
                                   " \"region_size\": \"${index}288\"}]}");
    g_assert_cmpint(g_unlink("conf/qemu.json"), ==, 0);
    g_autoptr(CvdConfig) config = load_good_index(files, "12", overrides);
    g_autofree char *disk = g_strdup_printf(
        "{\"driver\":\"file\",\"node-name\":\"d\",\"filename\":\"%s/conf/disk-12\"}",
        files->directory);
    g_assert_cmpstr(config->client_socket, ==, "/tmp/12.sock");
    g_assert_true(g_str_has_suffix(config->qemu.kernel, "/conf/k12"));
    g_assert_cmpuint(config->qemu.memory_bytes, ==, 12 << 20);
    g_assert_cmpstr(config->qemu.blockdevs[0], ==, disk);
    g_assert_cmpstr(config->qemu.append, ==, "12 $${index} $$12 $ {index}12${index");
    g_assert_cmpstr(config->qemu.devices[0], ==, "{\"driver\":\"x\",\"a\":[{\"b\":\"<12>\"}]}");
    g_assert_cmpstr(config->ready_pattern, ==, "^12$");
    g_assert_cmpstr(config->layout->regions[0].name, ==, "r12");
}

/* What a program gets is the same number, in the same words as without a group. */
static void test_programs(Files *files, gconstpointer data)
{
    static const char *const texts[][2] = {
        {"${index}", "3"},
        {"$${index}", "${index}"},
        {"$$${index}", "$3"},
        {"${name}", "p2-3"},
        {"$HOME", "$HOME"},
        {"$$", "$"},
        {"$$$${index}", "$${index}"},
    };

    write_file("conf/cvd.json",
               GROUP "\"instances\": 3, \"name\": \"p2\", \"programs\": {\"x\": {\"argv\":"
                     " [\"x\", \"${index}\", \"$${index}\", \"$$${index}\", \"${name}\","
                     " \"$HOME\", \"$$\", \"$$$${index}\"]}}}");
    g_autoptr(CvdConfig) config = load_good_index(files, "3", NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        const char *text = config->programs[0].argv[i + 1];
        g_autofree char *expanded = cvd_substitute(config, &config->programs[0], text);
        g_assert_cmpstr(expanded, ==, texts[i][1]);
    }
}

/* An option can make a group, another one out of it, and one machine. */
static void test_overrides(Files *files, gconstpointer data)
{
    g_autoptr(CvdConfig) made =
        load_good_index(files, "2", (const char *[]){"instances=2", "name=x-${index}", NULL});
    g_assert_cmpstr(made->name, ==, "x-2");

    write_file("conf/cvd.json", GROUP "\"instances\": 3, \"name\": \"y\"}");
    g_autoptr(CvdConfig) larger =
        load_good_index(files, "20", (const char *[]){"instances=20..29", NULL});
    g_assert_cmpstr(larger->name, ==, "y-20");
    g_autoptr(CvdConfig) single =
        load_good_index(files, NULL, (const char *[]){"instances=null", NULL});
    g_assert_cmpstr(single->name, ==, "y");
    g_assert_null(single->group.name);
}

/* As `--check` and `cvd-up` do. */
static void test_first(Files *files, gconstpointer data)
{
    const CvdConfigSource source = {.path = "conf/cvd.json", .may_choose = TRUE};

    write_file("conf/cvd.json", GROUP "\"instances\": \"4..9\", \"name\": \"phone\"}");
    g_autoptr(CvdConfig) config = cvd_config_load(&source, files->problems);
    g_assert_nonnull(config);
    g_assert_cmpstr(config->name, ==, "phone-4");
}

/* Without `instances` `${index}` is what it was. */
static void test_single(Files *files, gconstpointer data)
{
    write_file("conf/cvd.json",
               GROUP "\"name\": \"phone-7\", \"programs\": {\"x\": {\"argv\": [\"${index}\"]}}}");
    g_autoptr(CvdConfig) config =
        load_good(files, (const char *[]){"qemu.kernel=k", "qemu.append=${index}", NULL});
    g_autofree char *expanded =
        cvd_substitute(config, &config->programs[0], config->programs[0].argv[0]);
    g_assert_cmpstr(expanded, ==, "7");
    g_assert_cmpstr(config->qemu.append, ==, "${index}");
}

/* What is printed is the configuration of that machine, by itself. */
static void test_explanation(Files *files, gconstpointer data)
{
    write_file("conf/cvd.json", GROUP "\"instances\": 9, \"name\": \"phone\"}");
    write_file("conf/qemu.json", "{\"cpu\": \"c${index}\"}");
    g_autoptr(CvdConfig) config = load_good_index(files, "7", NULL);
    g_autoptr(JsonNode) root = cvd_json_from_string(config->explanation, NULL);
    JsonObject *explanation = json_node_get_object(root);
    g_autofree char *values =
        cvd_json_to_string(json_object_get_member(explanation, "config"), FALSE);
    g_assert_null(strstr(values, "instances"));
    g_assert_false(
        json_object_has_member(json_object_get_object_member(explanation, "from"), "instances"));
    write_file("conf/cvd.json", values);
    g_autoptr(CvdConfig) again = load_good_index(files, NULL, NULL);
    g_assert_cmpstr(again->name, ==, "phone-7");
    g_assert_cmpstr(again->qemu.cpu, ==, "c7");
}

#define HOW_MANY "expected how many machines, from 1 to 10000, or the first and the last of at most"

static void test_messages(Files *files, gconstpointer data)
{
    static const struct {
        const char *index;
        const char *options[3];
        const char *message;
    } rows[] = {
        {"1", {"instances=0"}, "--set instances=0: instances: found 0; " HOW_MANY},
        {"1", {"instances=-1"}, "instances: found -1; " HOW_MANY},
        {"1", {"instances=10001"}, "instances: found 10001; " HOW_MANY},
        {"1", {"instances=1.5"}, "instances: found 1.5; " HOW_MANY},
        {"1", {"instances=[1]"}, "instances: found a list; " HOW_MANY},
        {"1", {"instances=\"64\""}, "instances: found \"64\"; " HOW_MANY},
        {"1", {"instances=1..10001"}, "instances: found \"1..10001\"; " HOW_MANY},
        {"1", {"instances=0..10000"}, "instances: found \"0..10000\"; " HOW_MANY},
        {"1", {"instances=2..1"}, "instances: found \"2..1\"; " HOW_MANY},
        {"1", {"instances=-1..1"}, "instances: found \"-1..1\"; " HOW_MANY},
        {"1", {"instances=01..09"}, "instances: found \"01..09\"; " HOW_MANY},
        {"1", {"instances=1..2..3"}, "instances: found \"1..2..3\"; " HOW_MANY},
        {"1", {"instances=1.. 2"}, "instances: found \"1.. 2\"; " HOW_MANY},
        {"1", {"instances=.."}, "instances: found \"..\"; " HOW_MANY},
        {"1", {"instances=1-4"}, "instances: found \"1-4\"; " HOW_MANY},
        {"1", {"instances=999999999..1000000000"}, "found \"999999999..1000000000\"; " HOW_MANY},
        {"1", {"instances=0", "name=x-${index}"}, "instances: found 0; "},
        {NULL,
         {"instances=64"},
         "conf/cvd.json is a group of 64 (1..64): say which with --index N, or start all with "
         "cvd-up"},
        {NULL, {"instances=1..8", "qemu.memory=${index}0M"}, "is a group of 8 (1..8): say which"},
        {"65", {"instances=64"}, "--index 65: conf/cvd.json is a group of 64 (1..64)"},
        {"0", {"instances=64"}, "--index 0: conf/cvd.json is a group of 64 (1..64)"},
        {"-1", {"instances=64"}, "--index -1: conf/cvd.json is a group of 64 (1..64)"},
        {"", {"instances=64"}, "--index : conf/cvd.json is a group of 64 (1..64)"},
        {"x", {"instances=64"}, "--index x: conf/cvd.json is a group of 64 (1..64)"},
        {"07", {"instances=64"}, "--index 07: conf/cvd.json is a group of 64 (1..64)"},
        {"4294967297", {"instances=64"}, "--index 4294967297: conf/cvd.json is a group"},
        {"3",
         {NULL},
         "--index 3: conf/cvd.json has no \"instances\", so it is one machine; name the "
         "configuration of a group with --config, or leave --index out"},
        {NULL, {"name=phone-${index}"}, "name: \"${index}\" is for a group; add \"instances\""},
        {"1",
         {"instances=2", "name=phone${index}"},
         "name: found \"phone${index}\"; expected NAME "
         "or NAME-${index}, as the machines of a group"},
        {"1", {"instances=2", "name=a-${index}-b"}, "name: found \"a-${index}-b\"; expected NAME"},
        {"1", {"instances=2", "name=${index}"}, "name: found \"${index}\"; expected NAME"},
        {"1", {"instances=2", "name=-${index}"}, "name: found \"-${index}\"; expected NAME"},
        {"1", {"instances=2", "name="}, "name: found \"\"; expected NAME"},
        {"1", {"instances=2", "name=a b"}, "name: found \"a b\"; expected NAME"},
        {"1", {"instances=2", "name=5"}, "name: found 5; expected a string of 1 to 32 letters"},
        {"1",
         {"instances=10", "name=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
         "name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-10, the longest name of the group, has 33 bytes; at "
         "most 32 are allowed"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_assert_null(load_index(files, rows[i].index, NULL, rows[i].options));
        assert_problem(files, 0, rows[i].message);
        if (files->problems->len > 1)
            g_error("row %zu: a second problem: %s", i, (char *)files->problems->pdata[1]);
    }
    g_assert_null(load_index(files, "1", "a/b", (const char *[]){"instances=2", NULL}));
    assert_problem(files, 0, "--name: found \"a/b\"; expected NAME or NAME-${index}");
    g_assert_cmpuint(files->problems->len, ==, 1);
}

static void add(const char *path, void (*test)(Files *, gconstpointer))
{
    g_test_add(path, Files, NULL, files_set_up, test, files_tear_down);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("/config-group/names", test_names);
    add("/config-group/strings", test_strings);
    add("/config-group/programs", test_programs);
    add("/config-group/overrides", test_overrides);
    add("/config-group/first", test_first);
    add("/config-group/single", test_single);
    add("/config-group/explanation", test_explanation);
    add("/config-group/messages", test_messages);
    return g_test_run();
}
