// SPDX-License-Identifier: Apache-2.0
// Says who it is, and checks that all ranks of the job really talk to each other.
#include <mpi.h>
#include <stdio.h>

int main(int argc, char** argv) {
    int rank = -1, size = 0, sum = 0, length = 0;
    char host[MPI_MAX_PROCESSOR_NAME] = "";
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Get_processor_name(host, &length);
    const int mine = rank + 1;
    MPI_Allreduce(&mine, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    const int good = sum == size * (size + 1) / 2;
    printf("rank %d of %d on %s: sum %d %s\n", rank, size, host, sum, good ? "ok" : "WRONG");
    MPI_Finalize();
    return good ? 0 : 1;
}
