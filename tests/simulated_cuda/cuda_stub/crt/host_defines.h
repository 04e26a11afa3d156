/* The one header of CUDA's compiler that the runtime's headers ask for and pip's packages leave out: attributes that C has no need of. */
#define CUDARTAPI
#define __align__(size) __attribute__((aligned(size)))
#define __builtin_align__(size) __attribute__((aligned(size)))
#define __cudart_builtin__
#define __device_builtin__
#define __device_builtin_surface_type__
#define __device_builtin_texture_type__
