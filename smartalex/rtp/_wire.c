/* Wire(fd): what smartalex/rtp/wire.py says of a wire, without an exception or an address made anew for each datagram. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define LONGEST 2048

typedef struct {
    struct sockaddr_storage raw;
    socklen_t size;
    PyObject *tuple; /* the same as Python has it; NULL for none yet */
} Address;

typedef struct {
    PyObject_HEAD
    int fd;
    Address from, to; /* whom we heard, and sent to, last */
} Wire;

static PyObject *tuple_of(const struct sockaddr_storage *raw)
{
    char host[INET6_ADDRSTRLEN];
    if (raw->ss_family == AF_INET) {
        const struct sockaddr_in *four = (const struct sockaddr_in *)raw;
        inet_ntop(AF_INET, &four->sin_addr, host, sizeof host);
        return Py_BuildValue("(si)", host, (int)ntohs(four->sin_port));
    }
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)raw;
    inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof host);
    return Py_BuildValue("(siII)", host, (int)ntohs(six->sin6_port), (unsigned)ntohl(six->sin6_flowinfo),
                         (unsigned)six->sin6_scope_id);
}

/* Whether it is one: hosts are numbers, never names. */
static int raw_of(PyObject *tuple, Address *made)
{
    struct sockaddr_in *four = (struct sockaddr_in *)&made->raw;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&made->raw;
    const char *host;
    int port;
    unsigned flow = 0, scope = 0;
    if (!PyTuple_Check(tuple) || !PyArg_ParseTuple(tuple, "si|II", &host, &port, &flow, &scope)) {
        PyErr_Clear();
        return 0;
    }
    if (port < 0 || port > 65535)
        return 0;
    memset(&made->raw, 0, sizeof made->raw);
    if (inet_pton(AF_INET, host, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons((uint16_t)port);
        made->size = sizeof *four;
        return 1;
    }
    if (inet_pton(AF_INET6, host, &six->sin6_addr) != 1)
        return 0;
    six->sin6_family = AF_INET6;
    six->sin6_port = htons((uint16_t)port);
    six->sin6_flowinfo = htonl(flow);
    six->sin6_scope_id = scope;
    made->size = sizeof *six;
    return 1;
}

static double arrival(struct msghdr *message)
{
    struct timespec at;
    struct cmsghdr *head = CMSG_FIRSTHDR(message);
    if (!head || head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_TIMESTAMPNS)
        return 0.0;
    memcpy(&at, CMSG_DATA(head), sizeof at);
    return (double)at.tv_sec + at.tv_nsec / 1e9;
}

static PyObject *Wire_read(Wire *self, PyObject *unused)
{
    char data[LONGEST];
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct timespec))];
    struct sockaddr_storage raw;
    struct iovec vector = {data, sizeof data};
    struct msghdr message = {&raw, sizeof raw, &vector, 1, control, sizeof control, 0};
    Address *from = &self->from;
    ssize_t size = recvmsg(self->fd, &message, MSG_DONTWAIT);
    if (size < 0)
        Py_RETURN_NONE;
    if (!from->tuple || message.msg_namelen != from->size || memcmp(&raw, &from->raw, from->size)) {
        PyObject *tuple = tuple_of(&raw);
        if (!tuple)
            return NULL;
        memcpy(&from->raw, &raw, message.msg_namelen);
        from->size = message.msg_namelen;
        Py_XSETREF(from->tuple, tuple);
    }
    PyObject *bytes = PyBytes_FromStringAndSize(data, message.msg_flags & MSG_TRUNC ? 0 : size);
    PyObject *at = PyFloat_FromDouble(arrival(&message));
    PyObject *found = bytes && at ? PyTuple_Pack(3, bytes, from->tuple, at) : NULL;
    Py_XDECREF(bytes);
    Py_XDECREF(at);
    return found;
}

static PyObject *Wire_send(Wire *self, PyObject *const *args, Py_ssize_t count)
{
    Address *to = &self->to;
    if (count != 2 || !PyBytes_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "send(data: bytes, address)");
        return NULL;
    }
    if (args[1] != to->tuple) {
        Py_CLEAR(to->tuple);
        if (!raw_of(args[1], to))
            Py_RETURN_FALSE;
        to->tuple = Py_NewRef(args[1]);
    }
    return PyBool_FromLong(sendto(self->fd, PyBytes_AS_STRING(args[0]), PyBytes_GET_SIZE(args[0]), MSG_DONTWAIT | MSG_NOSIGNAL,
                                  (struct sockaddr *)&to->raw, to->size) >= 0);
}

static PyObject *Wire_close(Wire *self, PyObject *unused)
{
    self->fd = -1;
    Py_RETURN_NONE;
}

static int Wire_init(Wire *self, PyObject *args, PyObject *names)
{
    return PyArg_ParseTuple(args, "i", &self->fd) ? 0 : -1;
}

static void Wire_dealloc(Wire *self)
{
    Py_XDECREF(self->from.tuple);
    Py_XDECREF(self->to.tuple);
    Py_TYPE(self)->tp_free(self);
}

static PyMethodDef methods[] = {
    {"read", (PyCFunction)Wire_read, METH_NOARGS, NULL},
    {"send", (PyCFunction)(void (*)(void))Wire_send, METH_FASTCALL, NULL},
    {"close", (PyCFunction)Wire_close, METH_NOARGS, NULL},
    {NULL}};

static PyTypeObject WireType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "smartalex.rtp._wire.Wire",
    .tp_basicsize = sizeof(Wire),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = PyType_GenericNew,
    .tp_init = (initproc)Wire_init,
    .tp_dealloc = (destructor)Wire_dealloc,
    .tp_methods = methods,
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_wire", NULL, -1, NULL};

PyMODINIT_FUNC PyInit__wire(void)
{
    PyObject *made = PyType_Ready(&WireType) < 0 ? NULL : PyModule_Create(&module);
    if (made && PyModule_AddObjectRef(made, "Wire", (PyObject *)&WireType) < 0)
        Py_CLEAR(made);
    return made;
}
