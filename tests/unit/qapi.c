/* SPDX-License-Identifier: Apache-2.0 */
/* Character devices and TPMs: from QAPI's objects to QEMU's option strings. */
#include "launcher/config/qapi.h"

#include <string.h>

typedef struct {
    const char *json; /* with ' in place of " */
    const char *option;
} Good;

typedef struct {
    const char *json;
    const char *problem; /* a part of the only one */
} Bad;

typedef gboolean (*Read)(const CvdPlace *place, JsonNode *node);
typedef char *(*Format)(JsonNode *node);

static JsonNode *parse(const char *quoted)
{
    g_autofree char *json = g_strdelimit(g_strdup(quoted), "'", '"');
    g_autoptr(GError) error = NULL;
    JsonNode *node = json_from_string(json, &error);

    g_assert_no_error(error);
    return node;
}

static gboolean read_at(JsonNode *node, Read read, GPtrArray *problems)
{
    g_autoptr(GHashTable) overrides = g_hash_table_new(NULL, NULL);
    g_autoptr(GStringChunk) paths = g_string_chunk_new(64);
    CvdReader reader = {.problems = problems, .overrides = overrides, .paths = paths, .cwd = "/"};
    gboolean is_good = read(&(CvdPlace){&reader, "file", "/dir", "x", 1}, node);

    g_assert_true(is_good == (problems->len == 0));
    return is_good;
}

static void check_good(const Good *rows, gsize n, Read read, Format format)
{
    for (gsize i = 0; i < n; i++) {
        g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(JsonNode) node = parse(rows[i].json);
        if (!read_at(node, read, problems))
            g_error("%s: %s", rows[i].json, (char *)problems->pdata[0]);
        g_autofree char *option = format(node);
        g_assert_cmpstr(option, ==, rows[i].option);
    }
}

static void check_bad(const Bad *rows, gsize n, Read read)
{
    for (gsize i = 0; i < n; i++) {
        g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(JsonNode) node = parse(rows[i].json);
        if (read_at(node, read, problems))
            g_error("%s: was accepted", rows[i].json);
        if (!strstr(problems->pdata[0], rows[i].problem))
            g_error("\"%s\" does not contain \"%s\"", (char *)problems->pdata[0], rows[i].problem);
        g_assert_cmpuint(problems->len, ==, 1);
    }
}

#define CHARDEV(BACKEND) "{'id': 'c', 'backend': " BACKEND "}"
#define SOCKET(MORE)     CHARDEV("{'type': 'socket', 'data': {" MORE "}}")
#define UNIX             "'addr': {'type': 'unix', 'data': {'path': '/s'}}"
#define FD               "'addr': {'type': 'fd', 'data': {'str': '${socket:s}'}}"

/* As QMP has them, and without `data`. QMP's defaults are not the option's: see server and wait. */
static const Good good_chardevs[] = {
    {SOCKET(FD ", 'server': false"), "socket,id=c,fd=${socket:s},server=off"},
    {CHARDEV("{'type': 'socket', 'server': false, 'addr': {'type': 'fd', 'str': '${socket:s}'}}"),
     "socket,id=c,fd=${socket:s},server=off"},
    {SOCKET(UNIX), "socket,id=c,path=/s,server=on,wait=off"},
    {SOCKET(UNIX ", 'server': true, 'wait': true"), "socket,id=c,path=/s,server=on,wait=on"},
    {SOCKET(UNIX ", 'server': false, 'reconnect': 5"),
     "socket,id=c,path=/s,server=off,reconnect=5"},
    {SOCKET("'addr': {'type': 'unix', 'path': 'a,b', 'tight': false}, 'server': false"),
     "socket,id=c,path=/dir/a,,b,tight=off,server=off"},
    {SOCKET("'addr': {'type': 'unix', 'path': 'name', 'abstract': true}, 'server': false"),
     "socket,id=c,path=name,abstract=on,server=off"},
    {SOCKET("'addr': {'type': 'unix', 'path': '${runtime}/s'}, 'server': false"),
     "socket,id=c,path=${runtime}/s,server=off"},
    {SOCKET("'addr': {'type': 'inet', 'data': {'host': '::1', 'port': '7', 'to': 9,"
            " 'ipv4': false, 'ipv6': true}}, 'telnet': true, 'nodelay': true"),
     "socket,id=c,host=::1,port=7,to=9,ipv4=off,ipv6=on,server=on,wait=off,nodelay=on,telnet=on"},
    {SOCKET("'addr': {'type': 'inet', 'host': 'a,b', 'port': 'x,y'}, 'server': false,"
            " 'tls-creds': 't', 'tls-authz': 'z'"),
     "socket,id=c,host=a,,b,port=x,,y,server=off,tls-creds=t,tls-authz=z"},
    {SOCKET("'addr': {'type': 'inet', 'host': 'h', 'port': '1'}, 'websocket': true,"
            " 'tn3270': false, 'logfile': 'l', 'logappend': true"),
     "socket,id=c,host=h,port=1,server=on,wait=off,tn3270=off,websocket=on,logfile=/dir/"
     "l,logappend=on"},
    {CHARDEV("{'type': 'file', 'data': {'out': 'o'}}"), "file,id=c,path=/dir/o"},
    {CHARDEV("{'type': 'file', 'data': {'out': '/o', 'in': '/i', 'append': true}}"),
     "file,id=c,path=/o,input-path=/i,append=on"},
    {CHARDEV("{'type': 'pipe', 'data': {'device': '/p'}}"), "pipe,id=c,path=/p"},
    {CHARDEV("{'type': 'serial', 'data': {'device': '/dev/ttyS0'}}"),
     "serial,id=c,path=/dev/ttyS0"},
    {CHARDEV("{'type': 'null', 'data': {}}"), "null,id=c"},
    {CHARDEV("{'type': 'pty', 'logfile': '/l'}"), "pty,id=c,logfile=/l"},
    {CHARDEV("{'type': 'msmouse'}"), "msmouse,id=c"},
    {CHARDEV("{'type': 'ringbuf', 'data': {'size': 4096}}"), "ringbuf,id=c,size=4096"},
    {CHARDEV("{'type': 'mux', 'data': {'chardev': 'b'}}"), "mux,id=c,chardev=b"},
    {CHARDEV("{'type': 'spicevmc', 'data': {'type': 'vdagent'}}"), "spicevmc,id=c,name=vdagent"},
    {CHARDEV("{'type': 'qemu-vdagent', 'data': {'mouse': false, 'clipboard': true}}"),
     "qemu-vdagent,id=c,mouse=off,clipboard=on"},
    {CHARDEV("{'type': 'udp', 'data': {"
             "'remote': {'type': 'inet', 'data': {'host': 'h', 'port': '1'}},"
             "'local': {'type': 'inet', 'host': 'l', 'port': '2'}}}"),
     "udp,id=c,host=h,port=1,localaddr=l,localport=2"},
};

static const Bad bad_chardevs[] = {
    {"[]", "x: found a list; expected an object with \"id\" and \"backend\""},
    {"{'backend': {'type': 'null'}}", "x: needs \"id\", by which others name it"},
    {"{'id': 'c'}", "x: needs \"backend\""},
    {"{'id': 1, 'backend': {'type': 'null'}}", "x.id: found 1; expected a string"},
    {"{'id': '9', 'backend': {'type': 'null'}}",
     "x.id: found \"9\"; expected letters, digits, '-', '.' and '_', of which the first is"},
    {"{'id': 'a,b', 'backend': {'type': 'null'}}", "x.id: found \"a,b\"; expected letters"},
    {"{'id': 'a\\n', 'backend': {'type': 'null'}}", "expected letters"},
    {"{'id': 'qmp', 'backend': {'type': 'null'}}",
     "x.id: \"qmp\" is the id of one of the launcher's own; choose another"},
    {"{'id': 'serial', 'backend': {'type': 'null'}}", "\"serial\" is the id of one of the"},
    {"{'id': 'ivshmem', 'backend': {'type': 'null'}}", "\"ivshmem\" is the id of one of the"},
    {"{'id': 'c', 'backend': {'type': 'null'}, 'driver': 'x'}", "x.driver: unknown key; known are"},
    {CHARDEV("'null'"), "x.backend: found \"null\"; expected an object with QEMU's own names"},
    {CHARDEV("{}"), "x.backend: needs \"type\": \"socket\", \"file\""},
    {CHARDEV("{'type': 'braille'}"),
     "x.backend.type: found \"braille\"; expected \"socket\", \"file\", "},
    {CHARDEV("{'type': 'braille'}"), "what else there is goes into \"extra_args\", as -chardev"},
    {CHARDEV("{'type': 7}"), "x.backend.type: found 7; expected \"socket\""},
    {CHARDEV("{'type': 'stdio'}"),
     "x.backend.type: stdio: QEMU's stdin and stdout are the launcher's; take \"pty\""},
    {CHARDEV("{'type': 'null', 'data': 1}"), "x.backend.data: found 1; expected an object"},
    {CHARDEV("{'type': 'null', 'data': {}, 'logfile': '/l'}"),
     "x.backend.logfile: put it into \"data\""},
    {CHARDEV("{'type': 'null', 'id': 'x'}"), "x.backend.id: unknown key; known are logfile"},
    {CHARDEV("{'type': 'file', 'data': {}}"), "x.backend.data: needs \"out\""},
    {CHARDEV("{'type': 'file', 'data': {'out': 1}}"), "x.backend.data.out: found 1; expected a "
                                                      "path"},
    {CHARDEV("{'type': 'file', 'data': {'out': '/o', 'apend': true}}"),
     "x.backend.data.apend: unknown key; did you mean \"append\"?"},
    {CHARDEV("{'type': 'file', 'data': {'out': '/o', 'append': 'on'}}"),
     "x.backend.data.append: found \"on\"; expected true or false"},
    {CHARDEV("{'type': 'ringbuf', 'size': -1}"), "found -1; expected an integer that is not"},
    {CHARDEV("{'type': 'ringbuf', 'size': '4K'}"), "found \"4K\"; expected an integer"},
    {CHARDEV("{'type': 'spicevmc'}"), "x.backend: needs \"type\""},
    {SOCKET("'server': false"), "x.backend.data: needs \"addr\""},
    {SOCKET("'addr': '/s'"), "x.backend.data.addr: found \"/s\"; expected an object"},
    {SOCKET("'addr': {'type': 'vsock', 'data': {'cid': '1', 'port': '2'}}"),
     "x.backend.data.addr.type: found \"vsock\"; expected \"inet\", \"unix\", \"fd\""},
    {SOCKET("'addr': {'type': 'inet', 'data': {'host': 'h', 'port': 7}}"),
     "x.backend.data.addr.data.port: found 7; expected a string"},
    {SOCKET("'addr': {'type': 'inet', 'host': 'h'}"), "x.backend.data.addr: needs \"port\""},
    {SOCKET("'addr': {'type': 'fd', 'str': '4'}, 'server': false"),
     "x.backend.data.addr.str: found \"4\"; expected \"${socket:NAME}\", of a socket of"},
    {SOCKET("'addr': {'type': 'fd', 'str': '${socket:a}1'}, 'server': false"),
     "expected \"${socket:NAME}\""},
    {SOCKET(FD), "x.backend: needs \"server\": false, as QEMU's end of such a socket is connected"},
    {SOCKET(FD ", 'server': true"), "x.backend: needs \"server\": false"},
    {SOCKET(FD ", 'server': 'off'"), "x.backend.data.server: found \"off\"; expected true or"},
};

static void test_chardevs(void)
{
    check_good(good_chardevs, G_N_ELEMENTS(good_chardevs), cvd_qapi_read_chardev,
               cvd_qapi_format_chardev);
    check_bad(bad_chardevs, G_N_ELEMENTS(bad_chardevs), cvd_qapi_read_chardev);
}

static const Good good_tpmdevs[] = {
    {"{'id': 't', 'type': 'emulator', 'chardev': 'c'}", "emulator,id=t,chardev=c"},
    {"{'id': 't', 'type': 'emulator', 'data': {'chardev': 'c'}}", "emulator,id=t,chardev=c"},
    {"{'id': 't', 'type': 'passthrough'}", "passthrough,id=t"},
    {"{'id': 't', 'type': 'passthrough', 'path': 'a,b', 'cancel-path': '/c'}",
     "passthrough,id=t,path=/dir/a,,b,cancel-path=/c"},
};

static const Bad bad_tpmdevs[] = {
    {"1", "x: found 1; expected an object"},
    {"{'id': 't'}",
     "x: needs \"type\": \"emulator\", \"passthrough\"; what else there is goes into "
     "\"extra_args\", as -tpmdev"},
    {"{'type': 'emulator', 'chardev': 'c'}", "x: needs \"id\""},
    {"{'id': 't', 'type': 'emulator'}", "x: needs \"chardev\""},
    {"{'id': 't', 'type': 'emulator', 'chardev': 'c', 'path': '/x'}",
     "x.path: unknown key; known are chardev"},
    {"{'id': 't', 'type': 'emulator', 'data': {'chardev': 'c'}, 'chardev': 'c'}",
     "x.chardev: put it into \"data\""},
    {"{'id': 't u', 'type': 'passthrough'}", "x.id: found \"t u\"; expected letters"},
};

static void test_tpmdevs(void)
{
    check_good(good_tpmdevs, G_N_ELEMENTS(good_tpmdevs), cvd_qapi_read_tpmdev,
               cvd_qapi_format_tpmdev);
    check_bad(bad_tpmdevs, G_N_ELEMENTS(bad_tpmdevs), cvd_qapi_read_tpmdev);
}

static void test_escape_value(void)
{
    static const char *const rows[][2] = {
        {"", ""}, {"a", "a"}, {",", ",,"}, {"a,b,,c", "a,,b,,,,c"}};
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *escaped = cvd_qemu_escape_value(rows[i][0]);
        g_assert_cmpstr(escaped, ==, rows[i][1]);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/qapi/chardevs", test_chardevs);
    g_test_add_func("/qapi/tpmdevs", test_tpmdevs);
    g_test_add_func("/qapi/escape-value", test_escape_value);
    return g_test_run();
}
