/* A CUDA runtime and driver of one device on which nothing is ever computed: what torch calls on the way to tensors without memory.
 *
 * Loaded before torch, these functions are found before those of libcudart and libcuda (the soname is the driver's). They report
 * success; streams and events are numbers, blocks of memory are addresses that nobody reads. What is not here, such as the launch of a
 * kernel, a copy and the last error, still goes to the real library, which refuses for want of a driver: a computation on the device
 * can't pass unseen.
 */

#include <driver_types.h>
#include <string.h>

enum { SUCCESS = 0, REFUSED = 3, VERSION = 13000 };

#define IGNORED(name) \
    int name(void) { return SUCCESS; }

#define FORBIDDEN(name) \
    int name(void) { return REFUSED; }

/* Every handle is another address, none of them null (the default stream) and none with memory behind it. */
static void *new_handle(size_t size) {
    static size_t next = (size_t)1 << 40;
    void *handle = (void *)next;
    next += (size + 4095) / 4096 * 4096;
    return handle;
}

/* The device */
int cudaGetDeviceCount(int *count) {
    *count = 1;
    return SUCCESS;
}
int cudaGetDevice(int *device) {
    *device = 0;
    return SUCCESS;
}
int cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device) {
    memset(properties, 0, sizeof *properties);
    strcpy(properties->name, "simulated CUDA device");
    properties->major = 9; /* of Hopper: bfloat16 and TF32 are there */
    properties->multiProcessorCount = 132;
    properties->maxThreadsPerBlock = 1024;
    properties->maxThreadsPerMultiProcessor = 2048;
    properties->warpSize = 32;
    properties->totalGlobalMem = (size_t)80 << 30;
    return SUCCESS;
}
int cudaGetDeviceProperties_v2(struct cudaDeviceProp *properties, int device) { /* its name in CUDA 12 */
    return cudaGetDeviceProperties(properties, device);
}
int cudaDriverGetVersion(int *version) {
    *version = VERSION;
    return SUCCESS;
}
int cudaRuntimeGetVersion(int *version) {
    *version = VERSION;
    return SUCCESS;
}
int cudaDeviceGetStreamPriorityRange(int *least, int *greatest) {
    *least = 0;
    *greatest = -5;
    return SUCCESS;
}
int cudaDeviceCanAccessPeer(int *can, int device, int peer) {
    *can = 0;
    return SUCCESS;
}
int cudaMemGetInfo(size_t *available, size_t *total) {
    *available = *total = (size_t)80 << 30;
    return SUCCESS;
}
IGNORED(cudaSetDevice)
IGNORED(cudaDeviceSynchronize)

/* Memory */
int cudaMalloc(void **memory, size_t size) {
    *memory = new_handle(size);
    return SUCCESS;
}
IGNORED(cudaFree)

/* Streams and events */
int cudaStreamCreateWithPriority(void **stream, unsigned flags, int priority) {
    *stream = new_handle(1);
    return SUCCESS;
}
int cudaEventCreateWithFlags(void **event, unsigned flags) {
    *event = new_handle(1);
    return SUCCESS;
}
int cudaStreamIsCapturing(void *stream, int *status) {
    *status = 0; /* cudaStreamCaptureStatusNone */
    return SUCCESS;
}
IGNORED(cudaThreadExchangeStreamCaptureMode)
IGNORED(cudaStreamQuery)
IGNORED(cudaStreamSynchronize)
IGNORED(cudaStreamWaitEvent)
IGNORED(cudaEventRecord)
IGNORED(cudaEventRecordWithFlags)
IGNORED(cudaEventQuery)
IGNORED(cudaEventSynchronize)
IGNORED(cudaEventDestroy)

/* The driver: all that torch's libcaffe2_nvrtc asks for when it is loaded */
int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) {
    *flags = 0;
    *active = 0;
    return SUCCESS;
}
IGNORED(cuCtxGetCurrent)
IGNORED(cuCtxSetCurrent)
IGNORED(cuDeviceGet)
IGNORED(cuDeviceGetAttribute)
IGNORED(cuDevicePrimaryCtxRetain)
IGNORED(cuFuncGetAttribute)
IGNORED(cuFuncSetAttribute)
IGNORED(cuFuncSetCacheConfig)
IGNORED(cuGetErrorString)
FORBIDDEN(cuLaunchCooperativeKernel)
FORBIDDEN(cuLaunchKernel)
IGNORED(cuLinkAddData_v2)
IGNORED(cuLinkComplete)
IGNORED(cuLinkCreate_v2)
IGNORED(cuModuleGetFunction)
IGNORED(cuModuleLoad)
IGNORED(cuModuleLoadData)
IGNORED(cuModuleLoadDataEx)
IGNORED(cuModuleUnload)
IGNORED(cuOccupancyMaxActiveBlocksPerMultiprocessor)
IGNORED(cuPointerGetAttribute)
IGNORED(cuTensorMapEncodeTiled)
